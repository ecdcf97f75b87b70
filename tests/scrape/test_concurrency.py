"""The in-flight limit: first in first out, and slow items make room."""

import asyncio

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.scrape.concurrency import MOST_SLOW, SLOW_AFTER, InFlightLimit
from tests.support.conditions import until


async def test_items_start_in_order_while_there_are_places():
    started = []
    limit = InFlightLimit(2, started.append)
    for item in "abcd":
        limit.add(item)
    assert started == ["a", "b"]
    limit.remove("b")
    assert started == ["a", "b", "c"]
    limit.remove("d")  # it was queued
    limit.remove("a")
    assert started == ["a", "b", "c"]
    assert len(limit) == 1


async def test_the_next_item_takes_the_place_of_one_that_ended():
    started = []
    limit = InFlightLimit(1, started.append)
    for item in "abc":
        limit.add(item)
    assert limit.replace("a") == "b"
    assert limit.replace("b") == "c"
    assert limit.replace("c") is None
    assert started == ["a"]


async def test_an_item_that_was_slow_has_no_place_to_give_when_it_ends():
    started, followed = [], []

    def start(item):
        started.append(item)
        if item == "second":
            followed.append(limit.replace("first"))

    limit = InFlightLimit(1, start, slow_after=0.01)
    for item in ("first", "second", "third"):
        limit.add(item)
    await until(lambda: started == ["first", "second", "third"])
    assert followed == [None]


async def with_as_many_slow_items_as_may_be(started):
    """Return a limit of 2 to which 100 items were added, and how many of them are in flight."""
    limit = InFlightLimit(2, started.append, slow_after=0.001)
    for item in range(100):
        limit.add(item)
    bound = 2 * (1 + MOST_SLOW)
    await until(lambda: len(started) == bound)
    return limit, bound


async def test_slow_items_are_bounded():
    """However many kubelets hang, the scrapes in flight are at most 16 times the limit."""
    started = []
    limit, bound = await with_as_many_slow_items_as_may_be(started)
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert len(started) == bound
    limit.remove(0)
    await until(lambda: len(started) == bound + 1)
    for item in range(100):
        limit.remove(item)
    assert len(limit) == 0


async def test_as_many_items_are_in_flight_again_after_there_were_as_many_slow_ones_as_may_be():
    started = []
    limit, bound = await with_as_many_slow_items_as_may_be(started)
    for item in range(bound - 2):  # the slow ones
        assert limit.replace(item) is None
    await until(lambda: len(started) == 2 * bound - 2)


async def test_without_a_time_for_slow_items_the_limit_is_hard():
    started = []
    limit = InFlightLimit(3, started.append)
    for item in range(10):
        limit.add(item)
    for _ in range(20):
        await asyncio.sleep(0.002)
    assert started == [0, 1, 2]


def test_the_usual_limit_is_enough_for_20_000_kubelets_that_take_150_ms():
    period, kubelet = 15.0, 0.15  # seconds
    limit = KubeletSettings.concurrency
    begun = limit / SLOW_AFTER * period
    in_flight = limit * (1 + MOST_SLOW) / kubelet * period
    assert min(begun, in_flight) >= 20_000
