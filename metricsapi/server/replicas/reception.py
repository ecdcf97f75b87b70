"""What a follower makes of the bytes of one stream: results with times of its own clock.

All times of one node go by one offset between the clocks, since rates are taken over their
differences. When the offset turns out to be another one, a sample says by how much (`moved`), and
the store moves what it has of the node: so rates are the leader's, whatever the messages took.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from metricsapi.scrape.errors import Cause, Failure
from metricsapi.server.replicas.clocks import ClockRelation
from metricsapi.server.replicas.messages import (
    Complete,
    FrameReader,
    Heartbeat,
    Hello,
    Packed,
    ProtocolError,
)
from metricsapi.server.replicas.results import Failed, unpack
from metricsapi.storage.types import Located, NodeSample

SILENCE = 3.0  # seconds after which a stream without a message, or one that is late, is lost
FUTURE = 1.0  # seconds by which a result may seem to have ended after it came
MOST = 50_000  # nodes; many more than Kubernetes takes, and no more memory than that


class Received(NamedTuple):
    """The result of a scrape of the leader's, that ended at `ended_at` in our monotonic seconds.

    `packed` is the same as another follower could get it from us.
    """

    node: str
    result: NodeSample | Failure
    ended_at: float
    packed: Packed


class Reception:
    """Reads one stream; `current` once its snapshot has come, and a message after it in time.

    What was under way for long, as in a queue before a slow reader, is not current. Only a stream
    of `holder`, which the Lease names, is taken: the address may be another server's by now, and
    with a CA that is used twice it may lead in another cluster.
    """

    def __init__(self, holder: str) -> None:
        self.current = False
        self._holder = holder
        self._complete = False  # whether the snapshot has come
        self._relation = ClockRelation()
        self._reader = FrameReader()
        self._offsets: dict[str, float] = {}  # by node: what its last sample's times went by

    @property
    def late(self) -> float:
        """The seconds that the last time of the sender was on its way longer than the quickest."""
        return self._relation.late

    def feed(self, data: bytes, received_at: float) -> Iterator[Received]:
        """Yield the results that end in these bytes, which came at `received_at`.

        Raises ValueError, which ProtocolError is, for what is no stream of ours.
        """
        for message in self._reader.feed(data):
            match message:
                case Hello(identity=identity) if identity != self._holder:
                    raise ProtocolError("it is not of the Lease's holder")
                case Hello(sent_at=sent_at) | Heartbeat(sent_at=sent_at):
                    self._note(sent_at, received_at)
                case Complete(sent_at=sent_at):
                    self._complete = True
                    self._note(sent_at, received_at)
                case Packed():
                    received = self._received(message, received_at)
                    if received is not None:
                        yield received

    def _note(self, sent_at: float | None, received_at: float) -> None:
        if sent_at is not None:
            self._relation.update(sent_at, received_at)
        self.current = self.current or (self._complete and self.late < SILENCE)

    def _received(self, packed: Packed, now: float) -> Received | None:
        offset = self._relation.to_our_clock(packed.behind)
        if (result := unpack(packed)) is None:
            return None
        if not math.isfinite(offset):
            raise ProtocolError("a clock that cannot be")
        _check(result, now - offset)
        kept = Packed(packed.data, offset, packed.pods)
        if isinstance(result, NodeSample):
            self._take_over(result, offset)
            return Received(result.node, result, result.answered_at, kept)
        known = Cause(result.cause) if result.cause in set(Cause) else Cause.INTERNAL
        failure = Failure(known, result.message)
        return Received(result.node, failure, result.ended_at + offset, kept)

    def _take_over(self, sample: NodeSample, offset: float) -> None:
        """Change a sample's times to those of our clock."""
        if len(self._offsets) >= MOST:
            self._offsets.clear()
        before = self._offsets.get(sample.node, offset)
        self._offsets[sample.node] = offset
        sample.moved = offset - before
        sample.requested_at += offset
        sample.answered_at += offset
        if sample.located is not None:
            sample.located = sample.located.moved(offset)


def _check(result: NodeSample | Failed, now: float) -> None:
    """Raise ProtocolError for a result whose times cannot be; `now` is by the clock that it has.

    Of those nothing newer would be taken, and what is stored by them would not expire.
    """
    if isinstance(result, Failed):
        possible = math.isfinite(result.ended_at) and result.ended_at <= now + FUTURE
    else:
        possible = (
            math.isfinite(result.requested_at)
            and result.requested_at <= result.answered_at <= now + FUTURE
            and (result.located is None or _possible(result.located))
        )
    if not possible:
        raise ProtocolError("a result with times that cannot be")


def _possible(located: Located) -> bool:
    return (
        located.low <= located.high
        and math.isfinite(located.shift)
        and located.jumped_at < math.inf
        and all(math.isfinite(value) for moment in located.moments for value in moment)
    )
