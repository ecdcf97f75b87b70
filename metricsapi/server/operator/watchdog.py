"""Watchdogs of periodic tasks, and how late the event loop runs its timers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from metricsapi.kube.progress import Progress, unobserved
from metricsapi.telemetry.histogram import Histogram

# Seconds between two measurements of the event loop. An idle process wakes up for nothing else, and
# each time costs 0.2 ms, since everything has left the processor's caches.
LAG_INTERVAL = 3.0
_MISSED_CYCLES = 10  # a task that has begun no cycle for so many intervals is stuck
_LEAST_ALLOWED = 30.0  # seconds

Clock = Callable[[], float]  # monotonic seconds


class Watchdog:
    """When a periodic task last made progress; `problem` is a health check."""

    def __init__(self, task: str, interval: float, clock: Clock) -> None:
        """Name the task; `interval` is the length of its cycle in seconds."""
        self._task = task
        self._allowed = max(interval * _MISSED_CYCLES, _LEAST_ALLOWED)
        self._clock = clock
        self._last_progress = clock()

    def progress(self) -> None:
        """Note that the task has begun another cycle.

        At its begin, since a task that fails in each cycle is not stuck: the supervisor shows it.
        """
        self._last_progress = self._clock()

    def problem(self) -> str | None:
        """Return None while the task makes progress, else for how long it has not."""
        age = self._clock() - self._last_progress
        return (
            None if age <= self._allowed else f"{self._task} has made no progress for {age:.0f} s"
        )


class EventLoopMonitor:
    """Measures how late the event loop runs a timer."""

    def __init__(self, lag: Histogram, clock: Clock, interval: float = LAG_INTERVAL) -> None:
        self.watchdog = Watchdog("the event loop's timer", interval, clock)
        self._lag = lag
        self._clock = clock
        self._interval = interval
        self._longest = 0.0

    async def run(self, progress: Progress = unobserved) -> None:
        """Measure once per interval, until cancelled."""
        while True:
            due = self._clock() + self._interval
            await asyncio.sleep(self._interval)
            self.watchdog.progress()
            progress()
            late = max(0.0, self._clock() - due)
            self._lag.observe(late)
            self._longest = max(self._longest, late)

    def take_longest(self) -> float:
        """Return the longest lag since the last call, in seconds."""
        longest, self._longest = self._longest, 0.0
        return longest
