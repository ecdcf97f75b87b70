"""Notices that this process stood still, as one that is frozen does (SIGSTOP, a cgroup's freezer).

Other replicas have newer usage by then. So what is stored is stale until each node has a result of
the period before the stall ended, or later: the other replicas have no newer ones for certain. Time
that the monotonic clock does not count, as that of a suspended machine, is not noticed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

STALL = 5.0  # seconds that this process may stand still: what was sent meanwhile is old


class StallDetector:
    """Takes the time of each check; all times are monotonic seconds.

    Nodes are scraped once in `period` seconds. What is stored counts as stale for two periods after
    a stall at most.
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self._checked_at = math.inf  # no check is due
        self._stalled_at: float | None = None  # when a stall ended whose gap is not closed yet

    def start(self, now: float) -> None:
        """Expect checks from now on."""
        self._checked_at = now

    def stop(self) -> None:
        """Expect no checks: nothing is known of a stall then."""
        self._checked_at = math.inf

    def check(self, now: float, scraped_since: Callable[[float], bool]) -> float:
        """Return the seconds of the stall that this check is the first one after; 0 without one.

        `scraped_since` tells whether every node was scraped after a time, by whichever replica.
        """
        elapsed, self._checked_at = now - self._checked_at, now
        if elapsed >= STALL:
            self._stalled_at = now
            return elapsed
        at = self._stalled_at
        if at is not None and (now - at > 2 * self._period or scraped_since(at - self._period)):
            self._stalled_at = None
        return 0.0

    def fresh(self, now: float) -> bool:
        """Return whether what is stored may be served."""
        return self._stalled_at is None and now - self._checked_at < STALL
