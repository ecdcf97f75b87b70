"""Two monotonic clocks are related closely enough that no rate is off by a percent."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.server.replicas.clocks import DRIFT, TOLERANCE, ClockRelation

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
        times.append(relation.to_our_clock(float(second)))
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


def test_no_time_is_translated_before_a_message_of_the_sender():
    with pytest.raises(ValueError, match="no message"):
        ClockRelation().to_our_clock(1.0)


@given(st.floats(0.001, 0.5), OFFSETS)
def test_a_queue_that_grows_between_the_two_is_lateness_and_no_other_offset(growth, offset):
    relation = ClockRelation()
    for second in range(300):
        relation.update(float(second), second * (1 + growth) + offset)
    late = 299 * growth
    possible_drift = 300 * (1 + growth) * DRIFT
    assert late - possible_drift - 1e-6 <= relation.late <= late + 1e-6
    assert relation.offset - offset <= possible_drift + TOLERANCE


def test_a_message_that_comes_as_quickly_as_any_is_not_late():
    relation = ClockRelation()
    for sent_at, received_at in ((0.0, 100.0), (1.0, 107.0), (2.0, 102.0)):
        relation.update(sent_at, received_at)
    assert relation.late == 0.0
