"""What replicas send each other: frames of a length and a msgpack message.

A frame is four bytes, the length of the message in network byte order, then the message. Unknown
fields and unknown types of messages are skipped, so that neighbouring versions of the server follow
each other in a rolling update; a change that cannot be read that way gets another path than `PATH`.

Results of scrapes, which are nearly all of the bytes, are compressed (`Packed`): once, by the
replica that scraped, for every replica that ever sends or keeps them.

Times are the sender's monotonic seconds; `clocks` relates them to the receiver's.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from typing import Any, get_args

import msgspec
from msgspec import Struct

from metricsapi.storage.types import NodeSample

PATH = "/replicas/v1/scrapes"  # GET: the stream of a leader
QUERIES_PATH = "/replicas/v1/queries"  # POST: frames of `Asked`, from a follower
LARGEST_BODY = 128 * 1024  # bytes of one such POST
LARGEST_QUERY = 4096  # bytes of one `Asked`
# The largest message that is read: several times the sample of a node with 500 pods.
LARGEST = 32 * 2**20
_LENGTH = 4


class ProtocolError(ValueError):
    """A stream that is not one of ours; the message says where."""


class Hello(Struct, tag=True):
    """The first message of a stream: who sends it, and for how many nodes a scrape follows."""

    identity: str
    sent_at: float
    nodes: int


class Sample(Struct, tag=True):
    """A scrape that succeeded."""

    sample: NodeSample


class Failed(Struct, tag=True):
    """A scrape that failed, and `ended_at` when; `cause` is one of `scrape.errors.Cause`."""

    node: str
    cause: str
    message: str
    ended_at: float


Result = Sample | Failed


class Packed(Struct, tag=True):
    """A result, compressed by zlib.

    Its times are those of the replica that scraped, whose monotonic clock is `behind` seconds
    behind the sender's.
    """

    data: bytes
    behind: float = 0.0


class Complete(Struct, tag=True):
    """Every result that the leader had when the stream began has been sent."""


class Heartbeat(Struct, tag=True):
    """Sent every second, also when nothing was scraped."""

    sent_at: float


class Asked(Struct, tag=True):
    """A query that a follower was asked, `age` seconds before this was sent; see `api.queries`."""

    user: str
    namespace: str | None
    selector: str
    kind: str
    age: float
    name: str | None = None


Message = Hello | Packed | Complete | Heartbeat | Asked
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class _Typed(Struct):
    type: str


_result_decoder: msgspec.msgpack.Decoder[Result] = msgspec.msgpack.Decoder(Result)
IMPOSSIBLE = -1  # in place of a number of more than 64 bits, which can be true as little
_FAST = 1  # zlib's level: 0.05 ms for a node with 30 pods, and an eighth of the bytes


_TYPES = frozenset(kind.__name__ for kind in get_args(Message))
_RESULTS = frozenset(kind.__name__ for kind in get_args(Result))
_type_decoder = msgspec.msgpack.Decoder(_Typed)


def frame(message: Message) -> bytes:
    """Give the frame of a message."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_LENGTH, "big") + body


def pack(result: Result) -> Packed:
    """Give a result as it is sent: with `IMPOSSIBLE` and `?` in place of what cannot be."""
    try:
        data = _encoder.encode(result)
    except (OverflowError, UnicodeEncodeError):
        data = _encoder.encode(_encodable(msgspec.to_builtins(result)))
    return Packed(zlib.compress(data, _FAST))


def _encodable(value: Any) -> Any:
    """Give built-in values without what a kubelet may have sent and no message can have."""
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else IMPOSSIBLE
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, list):
        return [_encodable(element) for element in value]
    if isinstance(value, dict):
        return {key: _encodable(element) for key, element in value.items()}
    return value


def unpack(packed: Packed) -> Result | None:
    """Give the result; None for a type that this version does not know. Raises ProtocolError."""
    data = b""
    try:
        inflating = zlib.decompressobj()
        data = inflating.decompress(packed.data, LARGEST)
        if not inflating.eof:
            raise ProtocolError(f"a result of more than {LARGEST} bytes, or cut off")
        return _result_decoder.decode(data)
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if _is_of_unknown_type(data, _RESULTS):
            return None
        raise ProtocolError(f"a result that cannot be decoded: {error}") from error


class FrameReader:
    """Takes the bytes of a stream as they come, and gives the messages that are complete.

    No message may be longer than `largest` bytes.
    """

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._buffer = bytearray()

    @property
    def incomplete(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Message]:
        """Give the messages of known types that end in `data`. Raises ProtocolError."""
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
    """Give a message; None for a type that this version does not know."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if _is_of_unknown_type(body, _TYPES):
            return None
        raise ProtocolError(f"a message that cannot be decoded: {error}") from error


def _is_of_unknown_type(body: bytes, known: Collection[str]) -> bool:
    try:
        return _type_decoder.decode(body).type not in known
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
