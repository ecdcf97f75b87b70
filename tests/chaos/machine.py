"""Measures how much a busy machine delays the test and the server, which is no fault of theirs."""

import asyncio
import time
from collections import deque

from tests.chaos.world import RESOLUTION

EVERY = 0.02  # seconds
LATE = 0.2  # seconds that this process may be late
SHARE = 0.2  # of the time that the server may be ready to run and have no processor


class Machine:
    """Measures how late this process is, and how long the server waits for a processor."""

    def __init__(self, world):
        self._world = world
        self._measured = deque(maxlen=1000)  # monotonic seconds, lateness, seconds waited so far

    async def run(self):
        """Measure until cancelled."""
        while True:
            due = time.monotonic() + EVERY
            await asyncio.sleep(EVERY)
            now = time.monotonic()
            self._measured.append((now, now - due, self._world.waited()))

    def lag(self, seconds=3 * RESOLUTION):
        """Return how late this process, and with it its kubelets, was lately, in seconds."""
        return max((late for _, late, _ in self._lately(seconds)), default=0.0)

    def busy(self, seconds=3 * RESOLUTION):
        """Return whether times cannot be judged now, since the machine is too busy."""
        lately = self._lately(seconds)
        if not lately:
            return False
        (began, _, before), (ended, _, after) = lately[0], lately[-1]
        return self.lag(seconds) > LATE or after - before > SHARE * (ended - began)

    def _lately(self, seconds):
        since = time.monotonic() - seconds
        return [measured for measured in self._measured if measured[0] >= since]
