"""A stand-in API server over an empty cluster for each test, and the real kubectl."""

import pytest

from tests.e2e.conftest import kubectl_binary
from tests.tools.sandbox.apiservers import admin, running

__all__ = ["kubectl_binary"]


@pytest.fixture
async def api():
    async with running() as server:
        yield server


@pytest.fixture
async def http(api):
    """An administrator's client of it."""
    async with admin(api) as client:
        yield client
