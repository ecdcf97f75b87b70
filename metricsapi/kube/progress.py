"""How a task shows that it does not hang."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

Progress = Callable[[], None]  # a loop calls it in each iteration

ROUND = 60.0  # seconds: the longest iteration of a loop that has nothing to do


def unobserved() -> None:
    """Progress that nobody observes."""


async def wait_for(event: asyncio.Event, seconds: float = ROUND) -> None:
    """Wait until an event is set, `seconds` at most: a loop that waits for work is not hung."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
