"""Exponential backoff with jitter, by the rules of client-go's reflector."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

FIRST = 0.5  # seconds
LONGEST = 30.0
# Seconds without a failure, after which the next one waits `FIRST` again. A server that fails, is
# well for a moment and fails again is not asked ever more often.
RESET_AFTER = 60.0


class Backoff:
    """The wait before the next attempt. `clock` gives monotonic seconds."""

    def __init__(
        self,
        *,
        first: float = FIRST,
        longest: float = LONGEST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first = first
        self._longest = longest
        self._clock = clock
        self._next = first
        self._failed_at = float("-inf")

    def delay(self, at_least: float = 0.0) -> float:
        """Count a failure; return the seconds to wait, `at_least` what a server asked for.

        The second half of the wait is random, so that replicas do not come back together.
        """
        now = self._clock()
        if now - self._failed_at > RESET_AFTER + self._next:
            self._next = self._first
        self._failed_at = now
        wait = self._next * random.uniform(0.5, 1.0)  # noqa: S311
        self._next = min(self._next * 2, self._longest)
        return max(at_least, wait)
