"""Divides the event loop's time between TLS handshakes and everything else.

To continue a handshake takes half a millisecond, and hundreds of kubelets may reply at one moment:
at a start, or when a certificate has changed. Requests to this server wait for a slice of that.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from metricsapi.kube.slices import SLICE


class Handshakes:
    """Continues handshakes in order, for one slice at most in each iteration of the event loop."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._queue: deque[Callable[[], None]] = deque()
        self._scheduled = False

    def add(self, step: Callable[[], None]) -> None:
        """Call `step` soon; what it raises is an error of the event loop."""
        self._queue.append(step)
        self._schedule()

    def _schedule(self) -> None:
        if self._queue and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._work)

    def _work(self) -> None:
        until = self._clock() + SLICE
        self._scheduled = False
        try:
            while self._queue:
                self._queue.popleft()()
                if self._clock() >= until:
                    return
        finally:
            self._schedule()
