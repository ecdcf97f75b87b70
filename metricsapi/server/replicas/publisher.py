"""The leader's side of the stream: every scrape goes to every follower.

Of each node the last scrapes are kept, encoded once for all followers, and compressed to about a
quarter. A follower that is slow gets the newest of each node:
what was superseded before it could be sent is left out.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import AsyncGenerator, Callable

from metricsapi.scrape.errors import Failure
from metricsapi.server.replicas.messages import Complete, Failed, Heartbeat, Hello, Sample, frame
from metricsapi.storage import windows
from metricsapi.storage.types import NodeSample

HEARTBEAT = 1.0  # seconds between two messages that tell the time
KEPT = 1 + windows.KEPT  # scrapes of a node: the relation of the clocks needs one more
GATHER = 0.1  # seconds from the first scrape after a pause to the piece with what followed
BATCH = 64 * 1024  # bytes that are sent as one piece
_FAST = 1  # zlib's level; 0.15 ms for a node with 110 pods, whose frame is then a quarter as large

Result = NodeSample | Failure


class Publisher:
    """Keeps the last scrapes of each node and streams them to followers.

    `clock` gives monotonic seconds; `leads` tells whether this replica still leads, and a stream
    ends as soon as it does not.
    """

    def __init__(
        self, identity: str, *, clock: Callable[[], float], leads: Callable[[], bool]
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._leads = leads
        self._kept: dict[str, deque[bytes]] = {}
        self._followers: set[_Follower] = set()

    @property
    def followers(self) -> int:
        """The number of streams that are open."""
        return len(self._followers)

    def publish(self, node: str, result: Result, ended_at: float) -> None:
        """Take the result of a scrape that ended at `ended_at`, our own or another leader's."""
        data = frame(
            Sample(result)
            if isinstance(result, NodeSample)
            else Failed(node, str(result.cause), result.message, ended_at)
        )
        self._kept.setdefault(node, deque(maxlen=KEPT)).append(zlib.compress(data, _FAST))
        for follower in self._followers:
            follower.add(node, data)

    def forget(self, node: str) -> None:
        """Drop a node that is gone."""
        self._kept.pop(node, None)
        for follower in self._followers:
            follower.discard(node)

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield frames for one follower: what is kept, then each scrape as it ends."""
        follower = _Follower()
        self._followers.add(follower)
        try:
            yield frame(Hello(self._identity, self._clock(), len(self._kept)))
            for node in list(self._kept):
                # As it is when its turn to be sent comes: what was published meanwhile is in it.
                follower.discard(node)
                if kept := b"".join(map(zlib.decompress, self._kept.get(node, ()))):
                    yield kept
            yield frame(Complete())
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
    """What one follower has not been sent yet: the newest scrape of each node."""

    def __init__(self) -> None:
        self._pending: dict[str, bytes] = {}
        self._added = asyncio.Event()

    def add(self, node: str, data: bytes) -> None:
        self._pending[node] = data
        self._added.set()

    def discard(self, node: str) -> None:
        self._pending.pop(node, None)

    @property
    def behind(self) -> bool:
        """Whether something is pending."""
        return bool(self._pending)

    def take(self) -> bytes:
        """Give about `BATCH` bytes of what is pending; nothing if nothing is."""
        frames, size = [], 0
        while self._pending and size < BATCH:
            frames.append(self._pending.pop(next(iter(self._pending))))
            size += len(frames[-1])
        if not self._pending:
            self._added.clear()
        return b"".join(frames)

    async def wait(self, seconds: float) -> None:
        """Wait until something is pending, `seconds` at most."""
        try:
            async with asyncio.timeout(seconds):
                await self._added.wait()
        except TimeoutError:
            return
