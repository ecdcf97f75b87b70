"""Equal names are one object, and names that do not come again are not kept for good."""

import gc
import operator
import sys

from metricsapi.kube.shared import LONGEST, MOST, shared


def test_equal_names_are_one_object():
    first, second = (shared(name.decode()) for name in [b"kube-system"] * 2)
    assert first is second


def test_the_names_of_the_nodes_of_a_large_cluster_stay_shared():
    def nodes():
        return [shared(f"node-{number}") for number in range(15_000)]

    assert all(map(operator.is_, nodes(), nodes()))


def test_names_that_are_no_more_take_no_memory():
    def blocks():
        gc.collect()
        return sys.getallocatedblocks()

    for number in range(MOST):
        shared(f"before-{number}")
    before = blocks()
    for number in range(2 * MOST):
        shared(f"name-{number}")
    assert blocks() - before < 5_000


def test_what_can_be_no_name_is_not_kept():
    first, second = (shared("x" * (LONGEST + number)) for number in (1, 1))
    assert first == second
    assert first is not second
