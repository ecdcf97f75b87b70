"""What is done every second is done at one time, so that an idle process wakes up once for it."""

from __future__ import annotations

import asyncio

_NEAR = 0.1  # of a period: a timer that fires a moment early must not take the same turn twice


def rest_of(period: float) -> float:
    """Give the seconds until the event loop's clock is next at a multiple of `period` seconds.

    A process that has slept finds the processor's caches cold: waking up costs 0.2 ms, many times
    what there is to do then (measured), so tasks of one period had better wake up together.
    """
    rest = period - asyncio.get_running_loop().time() % period
    return rest if rest > period * _NEAR else rest + period
