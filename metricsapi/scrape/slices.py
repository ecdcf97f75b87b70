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

from metricsapi.kube.slices import SLICE
from metricsapi.scrape.decoding import Steps, T


class Slices:
    """Runs decoders and the store's steps, for all nodes together: one of them, for a slice at
    most, each time the event loop goes round.

    First come, first served; work that takes longer than a slice lets the others in between.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._queue: deque[tuple[Steps[Any], asyncio.Future[Any]]] = deque()
        self._pausing = False  # until the event loop has gone round

    async def run(self, steps: Steps[T], *, begun: bool = False) -> T:
        """Return what `steps` return, at once if nothing else is to be done.

        With `begun` they go on with work on a response, and come before what is yet to begin: what
        was just decoded is in the processor's caches. Both took a third longer with the work on a
        hundred other responses in between.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        (self._queue.appendleft if begun else self._queue.append)((steps, future))
        if not self._pausing:
            self._work()
        return await future

    def _work(self) -> None:
        until = self._clock() + SLICE
        steps, future = self._queue.popleft()
        while not (ended := _ends(steps, future)) and self._clock() < until:
            pass
        if not ended:
            self._queue.append((steps, future))
        self._pausing = True
        # After whoever waits for these steps: what it wants next is then in the queue.
        asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        self._pausing = False
        if self._queue:
            self._work()


def _ends(steps: Steps[Any], future: asyncio.Future[Any]) -> bool:
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
