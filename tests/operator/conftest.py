import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def recorded_flags():
    """Names of every flag in the --help of metrics-server 0.8."""
    text = (HERE / "data" / "metrics-server-0.8-flags.txt").read_text()
    return set(text.split())


@pytest.fixture(scope="session")
def recorded():
    """The recorded exchanges with metrics-server by name."""
    path = HERE.parent / "recorded" / "metrics-server-0.8.1.json"
    return {exchange["name"]: exchange for exchange in json.loads(path.read_text())}
