"""How a loop that runs until the process ends shows that it has not hung."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

Progress = Callable[[], None]  # a loop calls it each time that it comes round

ROUND = 60.0  # seconds in which a loop comes round although there is nothing to do


def unobserved() -> None:
    """Progress that nobody observes."""


async def wait_for(event: asyncio.Event, seconds: float = ROUND) -> None:
    """Wait until an event is set, `seconds` at most: a loop that waits for work is not hung."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
