"""A leader whose results cannot be true is not followed: nothing of them is stored."""

import math

import pytest

from metricsapi.server.replicas.messages import (
    Complete,
    Heartbeat,
    Hello,
    Packed,
    ProtocolError,
    frame,
)
from metricsapi.server.replicas.reception import Reception
from metricsapi.server.replicas.results import Failed, pack
from metricsapi.storage.types import Located
from tests.support.samples import node_sample

NOW = 1000.0
LOCATED = (0.0, 1.0, 0.5, 10, -math.inf, False, [(1.7e9, NOW, 0.1)])


def received(*messages, sent_at=NOW):
    data = b"".join(map(frame, (Hello("a", sent_at, 1), *messages)))
    return list(Reception("a").feed(data, NOW))


def sample(requested=NOW - 0.2, answered=NOW - 0.1, located=None):
    made = node_sample("n1", requested, answered, [])
    made.located = located
    return pack(made)


def test_a_stream_of_another_process_than_the_lease_names_is_refused():
    elsewhere = frame(Hello("a", NOW, 1)) + frame(pack(Failed("n1", "timeout", "late", NOW)))
    with pytest.raises(ProtocolError, match="holder"):
        list(Reception("b").feed(elsewhere, NOW))


def test_results_of_the_past_are_taken():
    failed = pack(Failed("n2", "timeout", "late", NOW - 1.0))
    assert len(received(sample(located=Located(*LOCATED)), sample(), failed)) == 3


@pytest.mark.parametrize("time", [math.nan, math.inf, -math.inf, NOW + 3600.0])
def test_results_with_times_that_cannot_be_are_refused(time):
    for message in (
        sample(answered=time),
        sample(requested=time),
        pack(Failed("n1", "timeout", "late", time)),
    ):
        with pytest.raises(ProtocolError, match="cannot be"):
            received(message)


@pytest.mark.parametrize(
    ("field", "value"),
    [(0, math.nan), (1, math.nan), (0, 2.0), (2, math.inf), (4, math.nan), (4, math.inf),
     (6, [(1.7e9, math.nan, 0.1)])],
)  # fmt: skip
def test_what_a_leader_cannot_have_learned_of_a_clock_is_refused(field, value):
    values = [value if number == field else kept for number, kept in enumerate(LOCATED)]
    with pytest.raises(ProtocolError, match="cannot be"):
        received(sample(located=Located(*values)))


@pytest.mark.parametrize("behind", [math.nan, math.inf, -math.inf, 1e9])
def test_an_offset_between_clocks_that_cannot_be_is_refused(behind):
    with pytest.raises(ProtocolError, match="cannot be"):
        received(Packed(sample().data, behind))


@pytest.mark.parametrize("sent_at", [math.nan, math.inf, -math.inf])
def test_a_clock_that_cannot_be_is_refused(sent_at):
    with pytest.raises(ProtocolError, match="cannot be"):
        received(sample(), sent_at=sent_at)


def test_a_snapshot_that_was_under_way_for_long_is_current_once_what_follows_it_comes_in_time():
    reception = Reception("a")
    began = frame(Hello("a", 0.0, 1))
    list(reception.feed(began, NOW))
    list(reception.feed(frame(Complete(1.0)), NOW + 9.0))
    list(reception.feed(frame(Heartbeat(2.0)), NOW + 9.5))
    assert (reception.current, reception.late) == (False, pytest.approx(7.5, abs=0.01))
    list(reception.feed(frame(Heartbeat(10.0)), NOW + 10.5))
    assert reception.current


def test_a_snapshot_of_a_version_that_does_not_say_when_it_was_complete_is_current():
    reception = Reception("a")
    list(reception.feed(frame(Hello("a", 0.0, 1)) + frame(Complete()), NOW))
    assert reception.current
