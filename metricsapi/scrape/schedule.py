"""When each node is scraped: at its own place in the period, one timer for all nodes."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import math
from collections.abc import Callable, Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

LARGEST_GROUP = 1024  # nodes that are scraped at one moment
RETRY_AFTER = 1.0  # seconds
SHRINK_AT = 0.8  # of the size at which there would be more groups
TIMER_RESOLUTION = 0.001  # seconds: timers of the event loop are no finer

T = TypeVar("T", bound=Hashable)

log = logging.getLogger(__name__)


def offset_of(node: str, resolution: float) -> float:
    """Return a node's offset inside the period, in seconds: deterministic and evenly spread."""
    digest = hashlib.blake2b(node.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 * resolution


def group_count(nodes: int, groups: int = 1) -> int:
    """Return the number of groups for a cluster of so many nodes; `groups` is the present number.

    Nodes scraped one right after the other cost less CPU than as many apart from each other: the
    process wakes up once, and what it needs is still in the processor's caches. 1,000 nodes take
    31 millicores in 16 groups and 24 in one group. How many of a group are in flight at once, and
    so how long other requests wait, is decided by the in-flight limit. The number is a power of
    two, and falls only well below the size at which it grew, so that offsets seldom move.
    """
    while nodes > LARGEST_GROUP * groups:
        groups *= 2
    while groups > 1 and nodes < SHRINK_AT * LARGEST_GROUP * groups / 2:
        groups //= 2
    return groups


def group_offset(offset: float, resolution: float, groups: int) -> float:
    """Return the offset at which a node is scraped together with its neighbours, in seconds."""
    step = resolution / groups
    return math.floor(offset / step) * step


def next_scrape(now: float, offset: float, resolution: float, *, first: bool) -> float:
    """Return the time of the scrape after the one at `now`, in the event loop's seconds.

    The next multiple of the period plus the offset may be close to `now`, since a first scrape
    takes place at once, and since offsets move when the cluster doubles. A scrape so soon after
    another one costs the node and has nothing new to read: after a first scrape the next one comes
    half a period after that moment instead, and later scrapes skip the moment.
    """
    at = (math.floor((now - offset) / resolution) + 1) * resolution + offset
    if first and at - now < resolution / 3:
        return at + resolution / 2
    # A timer that fires a moment early must not scrape twice in one period either.
    return at + resolution if at - now < resolution / 3 else at


class Schedule(Generic[T]):
    """Calls `on_due` with each planned item once its time has come.

    A heap with one timer for thousands of items, since most are due at the same moment. An item is
    planned for one time; entries of times that it was planned for before are superseded, and are
    dropped when they are due or have become as many as the others. Times are the event loop's.
    """

    def __init__(self, on_due: Callable[[T], None]) -> None:
        self._on_due = on_due
        self._heap: list[tuple[float, int, T]] = []  # the number keeps the order of planning
        self._current: dict[T, int] = {}  # the number of each item's entry
        self._numbers = itertools.count()
        self._timer: asyncio.Handle | None = None
        self._timer_at = math.inf  # for uvloop has no time of a timer that is due at once

    def __len__(self) -> int:
        """Return the number of entries, superseded ones included."""
        return len(self._heap)

    def plan(self, at: float, item: T) -> None:
        """Call `on_due(item)` at the time `at`, and not at the time planned for it before."""
        number = self._current[item] = next(self._numbers)
        heappush(self._heap, (at, number, item))
        if len(self._heap) > 2 * len(self._current):
            self._heap = [entry for entry in self._heap if self._is_current(entry)]
            heapify(self._heap)
        if at < self._timer_at:
            self._set_timer()

    def cancel(self, item: T) -> None:
        """Drop what is planned for an item."""
        self._current.pop(item, None)

    def clear(self) -> None:
        """Drop everything that is planned."""
        self._heap.clear()
        self._current.clear()
        self._set_timer()

    def _is_current(self, entry: tuple[float, int, T]) -> bool:
        _, number, item = entry
        return self._current.get(item) == number

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        while self._heap and not self._is_current(self._heap[0]):
            heappop(self._heap)
        if not self._heap:
            self._timer, self._timer_at = None, math.inf
            return
        self._timer_at = self._heap[0][0]
        self._timer = asyncio.get_running_loop().call_at(self._timer_at, self._run_due)

    def _run_due(self) -> None:
        now = asyncio.get_running_loop().time() + TIMER_RESOLUTION
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heappop(self._heap))
        self._set_timer()
        for entry in due:
            if not self._is_current(entry):
                continue
            item = entry[2]
            del self._current[item]
            try:
                self._on_due(item)
            except Exception:  # a bug must not end the schedule of this item, nor of the others
                log.exception("what was due failed, and is tried again")
                self.plan(now + RETRY_AFTER, item)
