import json

import pytest

from tests.support.paths import RECORDED


@pytest.fixture(scope="session")
def recorded():
    """The recorded exchanges with metrics-server by name."""
    path = RECORDED / "metrics-server-0.8.1.json"
    return {exchange["name"]: exchange for exchange in json.loads(path.read_text())}
