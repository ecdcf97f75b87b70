"""Bounds the bandwidth of a burst, since a thousand kubelets are scraped right after each other.

Bytes are reserved for what a kubelet is expected to send: as many as last time. Where it sends
more, the next scrapes wait for the difference, so only scrapes in flight can exceed the bound.
"""

from __future__ import annotations

from math import exp

# Bytes a second: 500 Mbit/s. A faster burst would only wait, in our memory, to be decoded: a core
# takes some 100 MB of Summaries a second.
RATE = 62.5e6
BURST = RATE / 5  # bytes that may come at once
HEADROOM = 1.25  # of the mean demand: the rate in a cluster that needs more
AVERAGED = 30.0  # seconds


class Pace:
    """A token bucket of bytes, of `rate` or what the mean demand needs. Times are monotonic."""

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        self._least = rate
        self._burst = burst
        self._available = burst
        self._demand = 0.0  # bytes a second
        self._at = 0.0

    def delay(self, size: int, now: float) -> float:
        """Reserve `size` bytes; return for how many seconds to wait before asking for them."""
        rate = self._take(size, now)
        return max(0.0, -self._available / rate)

    def correct(self, size: int, now: float) -> None:
        """Note that so many bytes more (or, below 0, less) came than were reserved."""
        self._take(size, now)

    def _take(self, size: int, now: float) -> float:
        """Take bytes out of the bucket; return the rate at which it fills, in bytes a second."""
        elapsed, self._at = now - self._at, now
        self._demand = self._demand * exp(-elapsed / AVERAGED) + size / AVERAGED
        rate = max(self._least, HEADROOM * self._demand)
        self._available = min(self._burst, self._available + elapsed * rate) - size
        return rate
