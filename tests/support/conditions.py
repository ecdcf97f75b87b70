"""Waiting for a condition, with a deadline, instead of sleeping for luck."""

import asyncio
import inspect
import time


async def until(condition, *, seconds=10.0, what=""):
    """Wait until `condition()` is true; fail after `seconds`. It may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        met = condition()
        if await met if inspect.isawaitable(met) else met:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds:g} s: {what or condition}")
        await asyncio.sleep(0.01)
