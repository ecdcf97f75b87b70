"""Divides the event loop's time between the responses of kubelets and everything else.

A thousand kubelets may respond within a second, and decoding and storing one response takes a
millisecond or more. Requests to this server, and the times at which responses arrive, wait for no
more than one slice of that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from metricsapi.scrape.decoding import Steps, T

SLICE = 0.002  # seconds of work after which the event loop does what else there is
GAP = 0.001  # seconds that it has within a long work: a request is served from start to end


class Slices:
    """Runs decoders and the store's steps, those of all nodes in slices after each other.

    First come, first served; work that takes longer than a slice lets the others in between.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = asyncio.Lock()  # held until the event loop has gone round after a slice
        self._worked = 0.0  # seconds since that was so

    async def run(self, steps: Steps[T]) -> T:
        """Return what `steps` return, after as many slices as they take."""
        while True:
            await self._lock.acquire()
            begun = self._clock()
            try:
                while self._worked + self._clock() - begun < SLICE:
                    next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result
            finally:
                self._end(self._clock() - begun)
            await asyncio.sleep(GAP)

    def _end(self, seconds: float) -> None:
        self._worked += seconds
        if self._worked < SLICE:
            self._lock.release()
        else:
            asyncio.get_running_loop().call_soon(self._renew)

    def _renew(self) -> None:
        self._worked = 0.0
        self._lock.release()
