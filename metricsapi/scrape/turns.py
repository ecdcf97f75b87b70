"""Calls when the time has come: one timer for thousands, since most are due at one moment."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Generic, TypeVar

TICK = 0.001  # seconds: timers of the loop are no finer

T = TypeVar("T")


class Turns(Generic[T]):
    """Calls `due` with each that was planned, once its time has come. Times are the loop's."""

    def __init__(self, due: Callable[[T], None]) -> None:
        self._due = due
        self._planned: list[tuple[float, int, T]] = []  # a heap; the number keeps their order
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def plan(self, at: float, one: T) -> None:
        """Call with `one` at the time `at`."""
        heappush(self._planned, (at, next(self._numbers), one))
        if self._timer is None or at < self._timer.when():
            self._wake()

    def clear(self) -> None:
        """Call no more."""
        self._planned.clear()
        self._wake()

    def _wake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop, planned = asyncio.get_running_loop(), self._planned
        self._timer = loop.call_at(planned[0][0], self._look) if planned else None

    def _look(self) -> None:
        now = asyncio.get_running_loop().time() + TICK
        due = []
        while self._planned and self._planned[0][0] <= now:
            due.append(heappop(self._planned)[2])
        self._wake()
        for one in due:
            self._due(one)
