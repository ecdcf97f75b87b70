"""Two monotonic clocks are related closely enough that no rate is off by a percent."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.server.replicas.clocks import TOLERANCE, ClockRelation

DELAYS = st.lists(st.floats(0.0, 2.0), min_size=1, max_size=100)
OFFSETS = st.floats(-1e6, 1e6)


@given(DELAYS, OFFSETS)
def test_the_offset_is_off_by_no_more_than_the_quickest_message_took(delays, offset):
    relation = ClockRelation()
    for second, delay in enumerate(delays):
        relation.update(float(second), second + offset + delay)
        quickest = min(delays[max(0, second - 29) : second + 1])
        error = relation.offset - offset
        assert -1e-6 <= error <= max(quickest, 0.0) + TOLERANCE + 1e-6


@given(st.lists(st.floats(0.0, 0.9 * TOLERANCE), min_size=2, max_size=100), OFFSETS)
def test_times_keep_their_distance_while_messages_are_about_as_quick(delays, offset):
    relation, times = ClockRelation(), []
    for second, delay in enumerate(delays):
        relation.update(float(second), second + offset + delay)
        times.append(relation.ours(float(second)))
    assert all(
        later - earlier == pytest.approx(1.0, abs=1e-6) for earlier, later in pairwise(times)
    )


def test_a_drift_between_the_clocks_is_followed_in_small_steps():
    relation, offsets = ClockRelation(), []
    for second in range(3600):
        relation.update(float(second), second * (1 + 5e-5) + 100.0)
        offsets.append(relation.offset)
    assert abs(relation.offset - (100.0 + 3600 * 5e-5)) < 2 * TOLERANCE
    assert max(later - earlier for earlier, later in pairwise(offsets)) < 1.5 * TOLERANCE


def test_no_time_is_translated_before_the_sender_has_told_its_own():
    with pytest.raises(ValueError, match="no message"):
        ClockRelation().ours(1.0)
