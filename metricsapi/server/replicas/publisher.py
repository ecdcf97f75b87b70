"""The leader's side of the stream: every result goes to every follower.

Of each node the last results are kept as they are sent, as many as a store keeps readings, so that
a new follower begins with the same rates. A follower that is slow gets the newest of each node:
what was superseded before it could be sent is left out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable

from metricsapi.kube.progress import wait_for
from metricsapi.scrape.errors import Failure
from metricsapi.server.replicas.messages import (
    LARGEST,
    Complete,
    Heartbeat,
    Hello,
    Packed,
    frame,
)
from metricsapi.server.replicas.results import Failed, pack
from metricsapi.storage.types import NodeSample
from metricsapi.storage.windows import KEPT

HEARTBEAT = 1.0  # seconds between two messages that tell the time
GATHER = 0.1  # seconds from the first result after a pause to the piece with what followed
BATCH = 64 * 1024  # bytes that are sent as one piece
LARGEST_RESULT = LARGEST - 1024  # bytes of a result, so that its message is no larger than allowed


class Publisher:
    """Keeps the last results of each node and streams them to followers.

    `clock` gives monotonic seconds; `leads` tells whether this replica still leads, and a stream
    ends as soon as it does not.
    """

    def __init__(
        self, identity: str, *, clock: Callable[[], float], leads: Callable[[], bool]
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._leads = leads
        self._kept: dict[str, deque[Packed]] = {}
        self._followers: set[_Follower] = set()

    @property
    def followers(self) -> int:
        """The number of streams that are open."""
        return len(self._followers)

    def publish(self, node: str, result: NodeSample | Failure, ended_at: float) -> None:
        """Take the result of a scrape of our own that ended at `ended_at`.

        Of a node with a result of more than `LARGEST_RESULT` bytes nothing is sent, so followers
        scrape it themselves: its kubelet would take megabytes of memory from every replica.
        """
        if isinstance(result, Failure):
            packed = pack(Failed(node, str(result.cause), result.message, ended_at))
        else:
            packed = pack(result)
        if len(packed.data) + len(packed.pods) <= LARGEST_RESULT:
            self.keep(node, packed)
        else:
            self.forget(node)

    def keep(self, node: str, packed: Packed) -> None:
        """Take a result as it is sent, as that of another replica is."""
        self._kept.setdefault(node, deque(maxlen=KEPT)).append(packed)
        for follower in self._followers:
            follower.add(node, packed)

    def forget(self, node: str) -> None:
        """Drop a node that is gone."""
        self._kept.pop(node, None)
        for follower in self._followers:
            follower.discard(node)

    def end(self) -> None:
        """Let the streams notice at once that this replica leads no longer."""
        for follower in self._followers:
            follower.wake()

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield frames for one follower: what is kept, then each result as it comes."""
        follower = _Follower()
        self._followers.add(follower)
        try:
            yield frame(Hello(self._identity, self._clock(), len(self._kept)))
            for node in list(self._kept):
                # As it is when its place in the snapshot comes: what came meanwhile is in it.
                follower.discard(node)
                if kept := b"".join(map(frame, self._kept.get(node, ()))):
                    yield kept
            yield frame(Complete(self._clock()))
            while self._leads():
                yield follower.take() + frame(Heartbeat(self._clock()))
                if follower.behind:
                    continue
                await follower.wait(HEARTBEAT)
                # Nodes are scraped in groups: what comes at one moment is sent at once.
                await asyncio.sleep(GATHER)
        finally:
            self._followers.discard(follower)


class _Follower:
    """What one follower has not been sent yet: the newest result of each node."""

    def __init__(self) -> None:
        self._pending: dict[str, Packed] = {}
        self._added = asyncio.Event()

    def add(self, node: str, packed: Packed) -> None:
        self._pending[node] = packed
        self._added.set()

    def discard(self, node: str) -> None:
        self._pending.pop(node, None)

    def wake(self) -> None:
        """End `wait`."""
        self._added.set()

    @property
    def behind(self) -> bool:
        """Return whether something is pending."""
        return bool(self._pending)

    def take(self) -> bytes:
        """Return about `BATCH` bytes of what is pending; nothing if nothing is."""
        frames, size = [], 0
        while self._pending and size < BATCH:
            frames.append(frame(self._pending.pop(next(iter(self._pending)))))
            size += len(frames[-1])
        if not self._pending:
            self._added.clear()
        return b"".join(frames)

    async def wait(self, seconds: float) -> None:
        """Wait until something is pending, `seconds` at most."""
        await wait_for(self._added, seconds)
