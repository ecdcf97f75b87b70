"""What replicas send each other: frames of a length and a msgpack message.

A frame is four bytes, the length of the message in network byte order, then the message. Unknown
fields and unknown types of messages are skipped, so that neighbouring versions of the server follow
each other in a rolling update; a change that cannot be read that way gets another path than `PATH`.

What is in a result of a scrape (`Packed`), `results` knows.

Times are the sender's monotonic seconds; `clocks` relates them to the receiver's.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import get_args

import msgspec
from msgspec import Struct

from metricsapi.kube.errors import UNDECODABLE

PATH = "/replicas/v1/scrapes"  # GET: the stream of a leader
QUERIES_PATH = "/replicas/v1/queries"  # POST: frames of `ForwardedQuery`, from a follower
LARGEST_BODY = 128 * 1024  # bytes of one such POST
LARGEST_QUERY = 4096  # bytes of one `ForwardedQuery`
# The largest message, in bytes: some 2,000 pods of 5 containers, or ten times a node with 500 pods.
LARGEST = 2**20
_LENGTH = 4


class ProtocolError(ValueError):
    """A stream that is not one of ours; the message says where."""


class Hello(Struct, tag=True):
    """The first message of a stream: who sends it, and for how many nodes a scrape follows."""

    identity: str
    sent_at: float
    nodes: int


class Packed(Struct, tag=True):
    """A result, encoded; `pods` are those of a sample.

    Its times are those of the replica that scraped, whose monotonic clock is `behind` seconds
    behind the sender's.
    """

    data: bytes
    behind: float = 0.0
    pods: bytes = b""


class Complete(Struct, tag=True):
    """Every result that the leader had when the stream began has been sent."""

    sent_at: float | None = None  # None from versions that did not say it


class Heartbeat(Struct, tag=True):
    """Sent every second, also when nothing was scraped."""

    sent_at: float


class ForwardedQuery(Struct, tag=True):
    """A query that came to a follower `age` seconds before this was sent; see `api.queries`."""

    user: str
    namespace: str | None
    selector: str
    kind: str
    age: float
    name: str | None = None


Message = Hello | Packed | Complete | Heartbeat | ForwardedQuery
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class _Typed(Struct):
    type: str


_TYPES = frozenset(kind.__name__ for kind in get_args(Message))
_type_decoder = msgspec.msgpack.Decoder(_Typed)


def frame(message: Message) -> bytes:
    """Return the frame of a message."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_LENGTH, "big") + body


class FrameReader:
    """Takes the bytes of a stream as they come, and gives the messages that are complete.

    No message may be longer than `largest` bytes.
    """

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._buffer = bytearray()

    @property
    def incomplete(self) -> bool:
        """Return whether a message has begun and not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages of known types that end in `data`. Raises ProtocolError."""
        buffer = self._buffer
        buffer += data
        messages = []
        start = 0
        while len(buffer) - start >= _LENGTH:
            length = int.from_bytes(buffer[start : start + _LENGTH], "big")
            if length > self._largest:
                raise ProtocolError(f"a message of {length} bytes, more than {self._largest}")
            end = start + _LENGTH + length
            if len(buffer) < end:
                break
            if (message := _decoded(bytes(buffer[start + _LENGTH : end]))) is not None:
                messages.append(message)
            start = end
        del buffer[:start]
        return messages


def _decoded(body: bytes) -> Message | None:
    """Return a message; None for a type that this version does not know."""
    try:
        return _decoder.decode(body)
    except UNDECODABLE as error:
        if is_of_unknown_type(body, _TYPES):
            return None
        raise ProtocolError(f"a message that cannot be decoded: {error}") from error


def is_of_unknown_type(body: bytes, known: Collection[str]) -> bool:
    """Return whether what cannot be decoded is of a type that is not `known`."""
    try:
        return _type_decoder.decode(body).type not in known
    except UNDECODABLE:
        return False
