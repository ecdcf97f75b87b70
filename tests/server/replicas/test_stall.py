"""What is stored is stale after this process stood still, until it is as new as elsewhere."""

import pytest

from metricsapi.server.replicas.stall import STALL, StallDetector


def checked(stalled, *, period=15.0):
    """A detector whose second check came `stalled` seconds after the first, at 1000."""
    detector = StallDetector(period)
    detector.start(1000.0 - stalled)
    return detector, detector.check(1000.0, lambda _: False)


@pytest.mark.parametrize("seconds", [0.25, 2.0, STALL - 0.01])
def test_a_late_check_is_no_stall(seconds):
    detector, stalled = checked(seconds)
    assert (stalled, detector.fresh(1000.1)) == (0.0, True)


def test_after_a_stall_what_is_stored_is_stale_until_every_node_has_a_result_of_a_period():
    detector, stalled = checked(20.0)
    assert stalled == 20.0
    times = []
    for now in (1000.2, 1000.4):
        assert detector.check(now, times.append) == 0.0
        assert not detector.fresh(now)
    assert times == [985.0, 985.0]
    detector.check(1000.6, lambda _: True)
    assert detector.fresh(1000.6)


def test_a_node_that_is_never_scraped_again_does_not_make_it_stale_for_ever():
    detector, _ = checked(20.0, period=4.0)
    for quarter in range(33):
        detector.check(1000.25 + quarter / 4, lambda _: False)
    assert detector.fresh(1008.5)


def test_between_two_checks_the_time_since_the_last_one_counts():
    detector, _ = checked(0.25)
    assert not detector.fresh(1000.0 + STALL)
    detector.stop()
    assert detector.fresh(1e9)
