"""How many reads are in flight at once: for one that takes long, another may begin."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from metricsapi.scrape.turns import TICK

PATIENCE = 0.02  # seconds that a read counts as in flight: longer, it waits and does no work

T = TypeVar("T", bound=Hashable)


class InFlight(Generic[T]):
    """Calls `begin` for each that is added, in order, while fewer than `limit` are in flight.

    With `patience`, in seconds, one that has taken longer than that counts no more.
    """

    def __init__(
        self, limit: int, begin: Callable[[T], None], patience: float | None = None
    ) -> None:
        self._limit = limit
        self._begin = begin
        self._patience = patience
        self._waiting: OrderedDict[T, None] = OrderedDict()
        self._begun: dict[T, float] = {}  # when, in monotonic seconds, oldest first
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting) + len(self._begun)

    def add(self, one: T) -> None:
        """Begin it, now or when there is a place."""
        self._waiting[one] = None
        self._fill()

    def remove(self, one: T) -> None:
        """Give its place to the next, since it has ended, or shall not begin."""
        self._waiting.pop(one, None)
        self._begun.pop(one, None)
        self._fill()

    def replace(self, one: T) -> T | None:
        """Give its place to the next and return that, begun by whoever asks; None without one."""
        self._begun.pop(one, None)
        return self._next() if self._waiting and len(self._begun) < self._limit else None

    def _next(self) -> T:
        one, _ = self._waiting.popitem(last=False)
        self._begun[one] = time.monotonic()
        return one

    def _fill(self) -> None:
        while self._waiting and len(self._begun) < self._limit:
            self._begin(self._next())
        if self._waiting and self._timer is None and self._patience is not None:
            oldest = next(iter(self._begun.values()))
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(oldest + self._patience, self._look, self._patience)

    def _look(self, patience: float) -> None:
        self._timer = None
        begun_by = time.monotonic() - patience + TICK
        self._begun = {one: at for one, at in self._begun.items() if at > begun_by}
        self._fill()
