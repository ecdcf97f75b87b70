"""Limits the number of scrapes in flight."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from metricsapi.scrape.schedule import TIMER_RESOLUTION

# Seconds: a scrape that takes longer waits for its kubelet and uses no CPU. A kubelet takes some
# 100 ms, so it is after this that most scrapes make room: with the usual limit 1,600 a second,
# enough for 24,000 nodes each 15 s.
SLOW_AFTER = 0.01
MOST_SLOW = 15  # slow scrapes for each one that the limit allows

T = TypeVar("T", bound=Hashable)


class InFlightLimit(Generic[T]):
    """Calls `start` with each added item, first in first out, while fewer than `limit` are active.

    With `slow_after`, in seconds, an item that is active for longer becomes slow and gives its
    place to the next, so that kubelets that hang do not delay others. Active and slow items
    together are at most `limit * (1 + MOST_SLOW)`; without `slow_after` they are at most `limit`.
    """

    def __init__(
        self, limit: int, start: Callable[[T], None], slow_after: float | None = None
    ) -> None:
        self._limit = limit
        self._start = start
        self._slow_after = slow_after
        self._queue: OrderedDict[T, None] = OrderedDict()
        self._active: dict[T, float] = {}  # start times in monotonic seconds, oldest first
        self._slow: set[T] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._queue) + len(self._active) + len(self._slow)

    def add(self, item: T) -> None:
        """Start the item, now or when there is a free place."""
        self._queue[item] = None
        self._start_queued()

    def remove(self, item: T) -> None:
        """Free the place of an item that has ended, or drop it from the queue."""
        self._queue.pop(item, None)
        self._free(item)
        self._start_queued()

    def replace(self, item: T) -> T | None:
        """Free the place of an item that has ended; return the next item, which takes the place.

        The caller starts that item. None if no item is queued, or there is no place for it.
        """
        self._free(item)
        following = self._activate() if self._may_start() else None
        self._set_timer()
        return following

    def _free(self, item: T) -> None:
        self._active.pop(item, None)
        self._slow.discard(item)

    def _may_start(self) -> bool:
        return bool(self._queue) and len(self._active) < self._limit

    def _more_slow(self) -> int:
        """Return how many active items may become slow."""
        return min(len(self._active), MOST_SLOW * self._limit - len(self._slow))

    def _activate(self) -> T:
        item, _ = self._queue.popitem(last=False)
        self._active[item] = time.monotonic()
        return item

    def _start_queued(self) -> None:
        while self._may_start():
            self._start(self._activate())
        self._set_timer()

    def _set_timer(self) -> None:
        """Have the oldest active item become slow in time, if an item waits for its place."""
        if self._slow_after is None or self._timer is not None:
            return
        if self._queue and self._more_slow():
            oldest = next(iter(self._active.values()))
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(oldest + self._slow_after, self._mark_slow, self._slow_after)

    def _mark_slow(self, slow_after: float) -> None:
        self._timer = None
        slow_since = time.monotonic() - slow_after + TIMER_RESOLUTION
        slow = [item for item, started in self._active.items() if started <= slow_since]
        for item in slow[: self._more_slow()]:
            del self._active[item]
            self._slow.add(item)
        self._start_queued()
