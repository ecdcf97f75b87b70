"""Equal names are one object, and names that do not come again are not kept for good."""

import gc
import sys

from metricsapi.kube.shared import LONGEST, shared


def test_equal_names_are_one_object():
    first, second = (shared(name.decode()) for name in [b"kube-system"] * 2)
    assert first is second


def test_names_that_are_no_more_take_no_memory():
    def blocks():
        gc.collect()
        return sys.getallocatedblocks()

    for number in range(10_000):
        shared(f"before-{number}")
    before = blocks()
    for number in range(50_000):
        shared(f"name-{number}")
    assert blocks() - before < 5_000


def test_what_can_be_no_name_is_not_kept():
    first, second = (shared("x" * (LONGEST + number)) for number in (1, 1))
    assert first == second
    assert first is not second
