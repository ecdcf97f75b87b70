"""Waiting for a condition, with a deadline, instead of sleeping for luck."""

import asyncio
import time


async def until(condition, *, seconds=10.0, what=""):
    """Wait until `condition()` is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds:g} s: {what or condition}")
        await asyncio.sleep(0.01)
