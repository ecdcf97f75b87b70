from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def recorded_flags():
    """Names of every flag in the --help of metrics-server 0.8."""
    path = Path(__file__).parent / "data" / "metrics-server-0.8-flags.txt"
    return set(path.read_text().split())
