"""What is listed, in batches."""

import gc
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.api.batches import BATCH, after, count, first, in_batches
from metricsapi.api.entries import Entry
from metricsapi.kube.resources import Pod

LENGTHS = st.lists(st.sampled_from([0, 1, 2, BATCH - 1, BATCH, BATCH + 1, 700]), max_size=5)


def runs_of(lengths):
    """Runs of these lengths, together the numbers from 0 on."""
    numbers = iter(range(sum(lengths)))
    return [[next(numbers) for _ in range(length)] for length in lengths]


@given(LENGTHS)
def test_batches_are_full_but_for_the_last_and_keep_the_order(lengths):
    batches = in_batches(runs_of(lengths))
    assert list(chain.from_iterable(batches)) == list(range(sum(lengths)))
    assert all(len(batch) == BATCH for batch in batches[:-1])
    assert all(batches)
    assert count(batches) == sum(lengths)


@given(LENGTHS, st.integers(1, 2000))
def test_the_first_ones(lengths, limit):
    kept = first(in_batches(runs_of(lengths)), limit)
    assert list(chain.from_iterable(kept)) == list(range(sum(lengths)))[:limit]
    assert all(kept)


@given(LENGTHS.filter(sum), st.data())
def test_how_many_come_after_one(lengths, data):
    item = data.draw(st.integers(0, sum(lengths) - 1))
    assert after(in_batches(runs_of(lengths)), item) == sum(lengths) - 1 - item


def test_nothing_comes_after_what_is_not_there():
    with pytest.raises(ValueError, match="in no batch"):
        after(in_batches([[1, 2]]), 3)


def test_batches_give_the_garbage_collector_no_more_to_traverse():
    entries = [Entry(Pod("d", f"p{number}", {})) for number in range(20 * BATCH)]
    gc.collect()
    before = len(gc.get_objects())
    batches = in_batches([entries])
    encoded = in_batches([[b"text"] * 20 * BATCH])
    gc.collect()
    assert len(batches) == len(encoded) == 20
    assert len(gc.get_objects()) - before < 20
