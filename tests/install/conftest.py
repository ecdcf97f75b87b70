"""What the tests of the installation need from the machine."""

import pytest

from tests.support.needs import needed


@pytest.fixture(scope="session")
def kubectl():
    """The path of kubectl, which renders the manifests."""
    return needed("kubectl")
