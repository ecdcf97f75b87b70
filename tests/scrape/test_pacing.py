"""A burst of scrapes takes a bounded bandwidth."""

from hypothesis import given
from hypothesis import strategies as st

from metricsapi.scrape.pacing import Pace


def test_what_fits_into_a_burst_waits_for_nothing():
    pace = Pace(rate=100.0, burst=50.0)
    assert [pace.delay(10, 5.0) for _ in range(5)] == [0.0] * 5
    assert pace.delay(10, 5.0) == 0.1
    assert pace.delay(10, 5.0) == 0.2


def test_idle_time_fills_no_more_than_a_burst():
    pace = Pace(rate=100.0, burst=50.0)
    pace.delay(0, 0.0)
    assert pace.delay(60, 1000.0) == 0.1


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 40)), min_size=1, max_size=60))
def test_no_more_than_the_rate_and_a_burst_are_asked_for_in_any_time(scrapes):
    """By the times at which the bytes are asked for, over each stretch from one to another."""
    pace, now, asked = Pace(rate=100.0, burst=50.0), 0.0, []
    for wait, size in scrapes:
        now += wait
        asked.append((now + pace.delay(size, now), size))
    for first in range(len(asked)):
        for last in range(first, len(asked)):
            took = asked[last][0] - asked[first][0]
            # What is asked for first may itself be larger than a burst.
            total = sum(size for _, size in asked[first + 1 : last + 1])
            assert total <= 100.0 * took + 50.0 + 1e-6


def test_what_comes_beyond_what_was_expected_is_waited_for_by_those_that_come_next():
    pace = Pace(rate=100.0, burst=50.0)
    assert [pace.delay(0, 5.0) for _ in range(4)] == [0.0] * 4
    for _ in range(4):
        pace.correct(25, 5.0)
    assert pace.delay(0, 5.0) == 0.5
    pace.correct(-60, 5.0)  # less came than was reserved
    assert pace.delay(10, 5.0) == 0.0


@given(size=st.integers(1, 500), interval=st.floats(0.05, 1.0))
def test_a_cluster_that_needs_more_than_the_rate_gets_it(size, interval):
    pace = Pace(rate=100.0, burst=50.0)
    delays = [pace.delay(size, interval * number) for number in range(int(300 / interval))]
    # While the demand is being learned it takes longer.
    assert delays[-1] <= size / 100.0
