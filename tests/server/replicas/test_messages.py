"""The stream between replicas: what is framed is what is read, however the bytes come."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.server.replicas.messages import (
    LARGEST,
    Complete,
    FrameReader,
    Heartbeat,
    Hello,
    Packed,
    ProtocolError,
    frame,
)

TIMES = st.floats(0.0, 1e9)
MESSAGES = st.one_of(
    st.builds(Hello, st.text(max_size=20), TIMES, st.integers(0, 10**6)),
    st.builds(Packed, st.binary(max_size=50), TIMES, st.binary(max_size=50)),
    st.builds(Heartbeat, TIMES),
    st.just(Complete()),
)


@given(st.lists(MESSAGES, max_size=10), st.integers(1, 40))
def test_messages_are_read_whatever_the_pieces(messages, size):
    data = b"".join(map(frame, messages))
    reader = FrameReader()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert [message for piece in pieces for message in reader.feed(piece)] == messages


@given(st.binary(max_size=200))
def test_bytes_that_are_no_stream_raise_nothing_but_a_protocol_error(data):
    with contextlib.suppress(ProtocolError):
        FrameReader().feed(data)


def test_a_message_that_is_too_long_is_refused_before_it_is_kept():
    with pytest.raises(ProtocolError, match="more than"):
        FrameReader().feed((LARGEST + 1).to_bytes(4, "big"))


@pytest.mark.parametrize("new", [{"type": "Later", "node": [1]}, {"type": "sample"}])
def test_messages_of_a_newer_version_are_skipped(new):
    body = msgspec.msgpack.encode(new)
    data = len(body).to_bytes(4, "big") + body
    assert FrameReader().feed(data + frame(Heartbeat(5.0))) == [Heartbeat(5.0)]


@pytest.mark.parametrize("body", [{"type": "Heartbeat"}, {"type": 5}, {}, [], "Heartbeat"])
def test_messages_of_known_types_without_what_they_need_are_refused(body):
    encoded = msgspec.msgpack.encode(body)
    with pytest.raises(ProtocolError):
        FrameReader().feed(len(encoded).to_bytes(4, "big") + encoded)


def test_fields_of_a_newer_version_are_skipped():
    body = msgspec.msgpack.encode({"type": "Heartbeat", "sent_at": 5.0, "new": [1]})
    assert FrameReader().feed(len(body).to_bytes(4, "big") + body) == [Heartbeat(5.0)]
