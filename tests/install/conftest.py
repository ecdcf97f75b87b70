"""What the tests of the installation need from the machine."""

import os
import shutil

import pytest

REQUIRED = os.environ.get("METRICSAPI_REQUIRE", "").split()


@pytest.fixture(scope="session")
def kubectl():
    """The path of kubectl; without it these tests say so, and in CI they fail."""
    found = shutil.which("kubectl")
    if not found:
        message = "there is no kubectl on PATH, which renders the manifests"
        if "kubectl" in REQUIRED:
            pytest.fail(message)
        pytest.skip(message)
    return found
