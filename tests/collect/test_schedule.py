"""When a node's turns are: level over all nodes, exact for each."""

from collections import Counter
from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from metricsapi.collect.schedule import HANDFUL, next_turn, offset_of, together

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
def test_turns_are_one_resolution_apart(now, name, resolution):
    offset = offset_of(name, resolution)
    turns = [next_turn(now, offset, resolution, first=False)]
    for _ in range(5):
        turns.append(next_turn(turns[-1], offset, resolution, first=False))
    for earlier, later in pairwise(turns):
        assert abs(later - earlier - resolution) < 1e-3


@given(times, st.text(), resolutions, st.floats(-0.009, 0.4))
def test_a_timer_that_is_early_or_late_does_not_move_the_turns(now, name, resolution, lateness):
    offset = offset_of(name, resolution)
    at = next_turn(now, offset, resolution, first=False)
    again = next_turn(at + lateness * resolution, offset, resolution, first=False)
    assert abs(again - at - resolution) < 1e-3


@given(times, st.text(), resolutions)
def test_after_the_first_turn_the_next_is_neither_at_once_nor_a_period_late(now, name, resolution):
    offset = offset_of(name, resolution)
    second = next_turn(now, offset, resolution, first=True)
    assume(second - now != resolution)  # floats of large times
    assert resolution / 3 - 1e-3 <= second - now <= resolution + 1e-3
    third = next_turn(second, offset, resolution, first=False)
    assert resolution / 2 - 1e-3 <= third - second <= resolution + 1e-3
    assert abs((third - offset) / resolution - round((third - offset) / resolution)) < 1e-3


@given(times, resolutions, st.integers(1, 10_000))
def test_turns_near_each_other_are_taken_together_and_hardly_later(at, resolution, nodes):
    later = together(at, resolution, nodes)
    assert 0.0 <= later - at + 1e-6 <= min(1.0, HANDFUL * resolution / nodes) + 2e-6


def test_about_a_handful_of_nodes_is_read_at_once():
    at = Counter(together(offset_of(f"node-{i}", 15.0), 15.0, 1000) for i in range(1000))
    assert 3 < sum(at.values()) / len(at) < 2 * HANDFUL
    assert max(at.values()) < 4 * HANDFUL
