"""In CI a missing tool is a failure, nowhere else."""

import sys
from pathlib import Path

import pytest

from tests.support.needs import needed


def test_a_missing_command_skips_the_test(monkeypatch):
    monkeypatch.setenv("METRICSAPI_REQUIRE", "other")
    with pytest.raises(pytest.skip.Exception, match="no absent or missing on PATH"):
        needed("absent", "missing")


def test_a_missing_command_that_is_required_fails_the_test(monkeypatch):
    monkeypatch.setenv("METRICSAPI_REQUIRE", "other absent")
    with pytest.raises(pytest.fail.Exception, match="no absent on PATH"):
        needed("absent")


def test_the_first_that_is_there_is_used(monkeypatch):
    here = Path(sys.executable)
    monkeypatch.setenv("PATH", str(here.parent))
    assert needed("absent", here.name) == str(here)
