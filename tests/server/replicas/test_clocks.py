"""Two monotonic clocks are related closely enough that no rate is off by a percent."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from metricsapi.server.replicas.clocks import SLEW, ClockRelation

DELAYS = st.lists(st.floats(0.0, 2.0), min_size=1, max_size=100)


@given(DELAYS, st.floats(-1e6, 1e6), st.floats(0.0, 0.05))
def test_the_offset_is_too_late_by_no_more_than_the_first_message_took(delays, offset, quickest):
    relation = ClockRelation()
    for second, delay in enumerate(delays):
        sent = 1e6 + second
        relation.update(sent, sent + offset + quickest + delay)
        error = relation.offset - offset - quickest
        assert -1e-6 <= error <= delays[0] + 1e-6


@given(DELAYS, st.floats(-1e6, 1e6), st.floats(-5e-5, 5e-5))
def test_two_times_keep_their_distance_to_a_hundredth_of_a_percent(delays, offset, drift):
    relation, times = ClockRelation(), []
    for second, delay in enumerate(delays):
        sent = 1e6 + second
        relation.update(sent, sent * (1 + drift) + offset + delay)
        times.append((sent, relation.ours(sent)))
    for (sent, ours), (later_sent, later_ours) in itertools.pairwise(times):
        # A slow message lets the offset move by what its delay allows, and no more.
        received_apart = 1.0 * (1 + abs(drift)) + 2.0
        error = abs((later_ours - ours) - (later_sent - sent))
        assert error <= SLEW * received_apart + 1e-6


def test_a_drift_between_the_clocks_is_followed():
    relation = ClockRelation()
    for second in range(3600):
        relation.update(float(second), second * (1 + 5e-5) + 100.0)
    # What the slowest message of the window can hide, and no sum of an hour.
    assert abs(relation.offset - (100.0 + 3600 * 5e-5)) < 0.01
