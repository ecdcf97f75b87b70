"""The real kubectl, which must be there in CI."""

from tests.e2e.conftest import kubectl_binary

__all__ = ["kubectl_binary"]
