"""The stream between replicas: what is framed is what is read, however the bytes come."""

import contextlib
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.server.replicas.messages import (
    LARGEST,
    Complete,
    Failed,
    FrameReader,
    Heartbeat,
    Hello,
    Packed,
    ProtocolError,
    Sample,
    frame,
    pack,
    unpack,
)
from tests.support.samples import container_stats, node_sample

TIMES = st.floats(0.0, 1e9)
MESSAGES = st.one_of(
    st.builds(Hello, st.text(max_size=20), TIMES, st.integers(0, 10**6)),
    st.builds(Packed, st.binary(max_size=50), TIMES),
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


def test_a_sample_arrives_as_it_was_scraped():
    container = container_stats("c", "2026-01-01T00:00:00Z", 1.7e9, 5, 2, 1.7e9, 4096, swap=1)
    own = container_stats("n1", None, 1.7e9, 2**63 - 1, None, None, None)
    sample = node_sample("n1", 10.0, 10.1, 1.7e9, [("ns", "p", "u", [container])], own=own)
    (packed,) = FrameReader().feed(frame(pack(Sample(sample))))
    assert unpack(packed) == Sample(sample)


def test_a_failure_arrives_as_it_was():
    failed = Failed("n1", "timeout", "late", 5.0)
    assert unpack(pack(failed)) == failed


@given(st.binary(max_size=200))
def test_bytes_that_are_no_result_raise_nothing_but_a_protocol_error(data):
    for compressed in (data, zlib.compress(data)):
        with contextlib.suppress(ProtocolError):
            unpack(Packed(compressed))


def test_a_result_that_is_cut_off_is_refused():
    with pytest.raises(ProtocolError, match="cut off"):
        unpack(Packed(pack(Failed("n1", "timeout", "late", 5.0)).data[:-5]))


def test_a_result_that_would_inflate_without_end_is_refused():
    bomb = zlib.compress(b"\0" * (LARGEST + 1))
    assert len(bomb) < LARGEST / 500
    with pytest.raises(ProtocolError, match="more than"):
        unpack(Packed(bomb))


def test_a_result_of_a_newer_version_is_skipped():
    later = msgspec.msgpack.encode({"type": "Later", "node": "n1"})
    assert unpack(Packed(zlib.compress(later))) is None


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


def test_a_number_of_more_than_64_bits_costs_no_other_one():
    """A kubelet may send any number; what stays impossible is not served, here and there."""
    containers = [
        container_stats("huge", 0.0, 100.0, 2**64, 1, 100.0, 10**30),
        container_stats("good", 0.0, 100.0, 10**9, 1, 100.0, 4096),
    ]
    sample = node_sample("n1", 100.0, 100.1, 0.0, [("ns", "p", "u", containers)])
    huge, good = unpack(pack(Sample(sample))).sample.pods[0].containers
    assert not 0 <= huge.cpu.usage_core_nano_seconds < 2**64
    assert not 0 <= huge.memory.working_set_bytes < 2**64
    assert good == containers[1]


def test_a_message_that_is_no_text_is_sent_with_replacements():
    """It may have what a kubelet sent."""
    failed = unpack(pack(Failed("n1", "decode", "bad \udcff", 100.0)))
    assert failed == Failed("n1", "decode", "bad ?", 100.0)
