"""When a node is scraped: level over large clusters, exact for each node."""

import asyncio
from collections import Counter
from itertools import pairwise

import uvloop
from hypothesis import assume, given
from hypothesis import strategies as st

from metricsapi.scrape.schedule import (
    LARGEST_GROUP,
    Schedule,
    group_count,
    group_offset,
    next_scrape,
    offset_of,
)
from tests.support.conditions import until

resolutions = st.floats(1.0, 300.0)
times = st.floats(0.0, 1e7)


@given(st.text(), resolutions)
def test_a_node_has_one_place_inside_the_resolution_always_the_same(name, resolution):
    assert 0.0 <= offset_of(name, resolution) < resolution
    assert offset_of(name, resolution) == offset_of(name, resolution)


def test_the_load_is_level():
    """1,000 nodes over 15 s: a second's share is 67, and none is twice that."""
    seconds = Counter(int(offset_of(f"node-{i}", 15.0)) for i in range(1000))
    assert len(seconds) == 15
    assert max(seconds.values()) < 134


@given(times, st.text(), resolutions)
def test_scrapes_are_one_resolution_apart(now, name, resolution):
    offset = offset_of(name, resolution)
    scrapes = [next_scrape(now, offset, resolution, first=False)]
    for _ in range(5):
        scrapes.append(next_scrape(scrapes[-1], offset, resolution, first=False))
    for earlier, later in pairwise(scrapes):
        assert abs(later - earlier - resolution) < 1e-3


@given(times, st.text(), resolutions, st.floats(-0.009, 0.4))
def test_a_timer_that_is_early_or_late_does_not_move_the_scrapes(now, name, resolution, lateness):
    offset = offset_of(name, resolution)
    at = next_scrape(now, offset, resolution, first=False)
    again = next_scrape(at + lateness * resolution, offset, resolution, first=False)
    assert abs(again - at - resolution) < 1e-3


@given(times, st.text(), resolutions)
def test_after_the_first_scrape_the_next_is_neither_at_once_nor_a_period_late(
    now, name, resolution
):
    offset = offset_of(name, resolution)
    second = next_scrape(now, offset, resolution, first=True)
    assume(second - now != resolution)  # floats of large times
    assert resolution / 3 - 1e-3 <= second - now <= resolution + 1e-3
    third = next_scrape(second, offset, resolution, first=False)
    assert resolution / 2 - 1e-3 <= third - second <= resolution + 1e-3
    assert abs((third - offset) / resolution - round((third - offset) / resolution)) < 1e-3


@given(st.text(), resolutions, st.integers(1, 10_000))
def test_a_place_is_shared_with_nodes_a_little_later_and_lies_inside_the_resolution(
    name, resolution, nodes
):
    offset = offset_of(name, resolution)
    place = group_offset(offset, resolution, group_count(nodes))
    assert 0.0 <= offset - place < resolution
    assert 0.0 <= place < resolution


@given(st.text(), resolutions, st.integers(1, 10_000))
def test_nodes_that_come_or_go_move_no_place_until_the_cluster_doubles(name, resolution, nodes):
    offset = offset_of(name, resolution)
    places = {
        group_offset(offset, resolution, group_count(n))
        for n in (nodes, *range(nodes, 2 * nodes, 97))
    }
    assert len(places) <= 2


@given(times, st.text(), resolutions, st.integers(1, 10_000), st.integers(1, 10_000))
def test_a_place_that_moves_makes_no_read_come_at_once_or_much_too_late(
    now, name, resolution, before, after
):
    offset = offset_of(name, resolution)
    at = next_scrape(
        now, group_offset(offset, resolution, group_count(before)), resolution, first=False
    )
    again = next_scrape(
        at, group_offset(offset, resolution, group_count(after)), resolution, first=False
    )
    assert resolution / 3 - 1e-3 <= again - at <= resolution * 4 / 3 + 1e-3


def test_a_group_is_neither_large_nor_small():
    for nodes in (1100, 5000):
        offsets = [offset_of(f"node-{i}", 15.0) for i in range(nodes)]
        groups = Counter(group_offset(offset, 15.0, group_count(nodes)) for offset in offsets)
        assert LARGEST_GROUP / 2 < nodes / len(groups) <= LARGEST_GROUP
        assert max(groups.values()) < 2 * LARGEST_GROUP


def test_a_cluster_of_a_thousand_nodes_is_read_at_one_time():
    places = {
        group_offset(offset_of(f"node-{i}", 15.0), 15.0, group_count(1000)) for i in range(1000)
    }
    assert places == {0.0}


async def test_what_is_due_and_fails_is_tried_again_and_delays_no_other():
    """One that raised had taken all that were due with it, never to be scraped again."""
    loop = asyncio.get_running_loop()
    called = []

    def due(item):
        called.append(item)
        if called == ["a"]:
            raise ValueError("boom")

    schedule = Schedule(due)
    for item in ("a", "b"):
        schedule.plan(loop.time(), item)
    await until(lambda: called == ["a", "b", "a"])
    schedule.clear()


@given(st.lists(st.integers(0, 600), max_size=60), st.integers(1, 10))
def test_a_cluster_that_hovers_at_a_border_of_groups_changes_their_number_once(steps, doublings):
    border = LARGEST_GROUP * 2**doublings
    groups = group_count(border, 1)
    seen = []
    for step in steps:  # up to a fifth below the border and a fifth above it
        groups = group_count(border - border // 10 + step * border // 3000, groups)
        seen.append(groups)
    assert len(set(seen)) <= 2
    assert seen == sorted(seen)


@given(st.integers(0, 200_000), st.integers(0, 8))
def test_groups_are_never_larger_than_allowed_nor_tiny(nodes, before):
    groups = group_count(nodes, 2**before)
    assert nodes <= LARGEST_GROUP * groups
    assert groups == 1 or nodes / groups > LARGEST_GROUP * 0.39


def test_what_is_due_at_once_is_called_with_what_is_planned_meanwhile():
    """The event loop of the server, uvloop, has no timer for what is due at once."""

    async def run():
        called = []
        now = asyncio.get_running_loop().time()
        schedule = Schedule(called.append)
        for number in range(5):
            schedule.plan(now - number, number)
        schedule.plan(now + 0.01, "later")
        await until(lambda: "later" in called)
        return called

    assert sorted(map(str, uvloop.run(run()))) == ["0", "1", "2", "3", "4", "later"]
