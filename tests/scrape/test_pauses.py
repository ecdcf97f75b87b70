"""After a 429 through the API server all nodes wait, but not over and over for one of them."""

import math

import pytest

from metricsapi.scrape.pauses import LONGEST_PAUSE, PAUSES_ALL_AGAIN, SHORTEST_PAUSE, Pauses


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(5.0, 5.0), (0.0, SHORTEST_PAUSE), (1e9, LONGEST_PAUSE), (math.inf, LONGEST_PAUSE)],
)
def test_all_nodes_wait_for_what_is_asked_for_within_bounds(asked, seconds):
    pauses = Pauses()
    pauses.limited("n1", asked, 100.0)
    assert pauses.until("n1") == pauses.until("n2") == 100.0 + seconds


def test_a_shorter_pause_does_not_end_a_longer_one():
    """Requests were in flight when the longer one was asked for."""
    pauses = Pauses()
    pauses.limited("n1", 30.0, 100.0)
    pauses.limited("n2", 1.0, 100.1)
    assert [pauses.until(node) for node in ("n1", "n2", "n3")] == [130.0, 130.0, 130.0]


def test_a_node_that_is_limited_again_and_again_soon_waits_alone():
    pauses = Pauses()
    for at in (100.0, 200.0, 300.0):
        pauses.limited("n1", 60.0, at)
    assert (pauses.until("n1"), pauses.until("n2")) == (360.0, 160.0)
    later = 100.0 + PAUSES_ALL_AGAIN
    pauses.limited("n1", 60.0, later)
    assert pauses.until("n2") == later + 60.0


def test_an_api_server_that_limits_many_nodes_has_all_of_them_wait_each_time():
    pauses = Pauses()
    for number in range(50):
        at = 100.0 + 2 * number
        pauses.limited(f"n{number}", 1.0, at)
        assert pauses.until("another") == at + 1.0


def test_of_nodes_that_are_limited_together_one_begins_the_pause():
    """The others may begin the next ones."""
    pauses = Pauses()
    for number in range(3):
        pauses.limited(f"n{number}", 2.0, 100.0 + number / 10)
    assert pauses.until("another") == 102.2
    for number, seconds in ((0, 0.0), (1, 2.0), (2, 2.0)):
        at = 110.0 + 10 * number
        pauses.limited(f"n{number}", 2.0, at)
        assert max(0.0, pauses.until("another") - at) == seconds


def test_nothing_is_kept_of_a_node_that_is_gone():
    pauses = Pauses()
    pauses.limited("n1", 60.0, 100.0)
    pauses.forget("n1")
    pauses.limited("n1", 10.0, 200.0)  # another node of this name
    assert pauses.until("n2") == 210.0
