"""Bounds the bandwidth of a burst, since a thousand kubelets are scraped right after each other."""

from __future__ import annotations

RATE = 125e6  # bytes a second: 1 Gbit/s
BURST = RATE / 5  # bytes that may come at once


class Pace:
    """A token bucket of bytes. Times are monotonic seconds, passed in."""

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        self._rate = rate
        self._burst = burst
        self._available = burst
        self._at = 0.0

    def delay(self, size: int, now: float) -> float:
        """Reserve `size` bytes; return for how many seconds to wait before asking for them."""
        refilled = self._available + (now - self._at) * self._rate
        self._available = min(self._burst, refilled) - size
        self._at = now
        return max(0.0, -self._available / self._rate)
