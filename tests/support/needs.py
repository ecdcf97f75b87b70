"""Commands that some tests need: skipped with a reason where one is missing, except in CI."""

import os
import shutil

import pytest


def needed(*names):
    """Return the path of the first of these commands that is on PATH, which are one tool's names.

    Without any the test is skipped; where METRICSAPI_REQUIRE names one, as in CI, it fails.
    """
    for name in names:
        if path := shutil.which(name):
            return path
    message = f"there is no {' or '.join(names)} on PATH"
    if set(names) & set(os.environ.get("METRICSAPI_REQUIRE", "").split()):
        pytest.fail(message)
    pytest.skip(message)
