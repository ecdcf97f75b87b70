"""Divides the event loop's time between the responses of kubelets and everything else.

A thousand kubelets may respond within a second, and decoding and storing one response takes a
millisecond or more. Requests to this server, and the times at which responses arrive, wait for no
more than one slice of that.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from metricsapi.kube.progress import SLICE
from metricsapi.scrape.decoding import Steps, T


class Slices:
    """Runs decoders and the store's steps, those of all nodes in slices after each other.

    First come, first served; work that takes longer than a slice lets the others in between.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._queue: deque[tuple[Steps[Any], asyncio.Future[Any]]] = deque()
        self._worked = 0.0  # seconds of the slice that are used
        self._pausing = False  # until the event loop has gone round

    async def run(self, steps: Steps[T]) -> T:
        """Return what `steps` return, at once if this slice has the time for them."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append((steps, future))
        if not self._pausing:
            self._work()
        return await future

    def _work(self) -> None:
        begun, current = self._clock(), None
        while (current or self._queue) and self._worked + self._clock() - begun < SLICE:
            current = current or self._queue.popleft()
            if self._ends(*current):
                current = None
        if current:
            self._queue.append(current)
        self._worked += self._clock() - begun
        if self._worked >= SLICE:
            self._pausing = True
            asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        self._worked, self._pausing = 0.0, False
        self._work()

    def _ends(self, steps: Steps[Any], future: asyncio.Future[Any]) -> bool:
        """Do one step; return whether it was the last one, or nobody waits for the result."""
        try:
            if not future.cancelled():
                next(steps)
                return False
        except StopIteration as stop:
            future.set_result(stop.value)
        except BaseException as error:  # noqa: BLE001  whoever waits for the result gets it
            future.set_exception(error)
        return True
