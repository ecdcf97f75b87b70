"""A faulty kubelet costs its own node, or its own pod, and nobody else's."""

import asyncio

import pytest

from tests.faults.__main__ import run
from tests.faults.faults import FAULTS


@pytest.fixture(scope="module")
def results():
    """Every fault, each on one node of ten in a cluster of its own, all of them at once."""
    options = {"nodes": 10, "pods": 2, "resolution": 3.0, "timeout": 2.7, "timed": False}
    options["slow_seconds"] = 0.2
    results = asyncio.run(run(FAULTS, seconds=10.0, pause=0.1, **options))
    return {result.fault: result for result in results}


@pytest.mark.parametrize("name", [fault.name for fault in FAULTS])
def test_one_in_ten_faulty(results, name):
    assert results[name].problems == []
    assert results[name].healthy.checks > 0
