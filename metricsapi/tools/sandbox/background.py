"""Runs background tasks of the sandbox; a failed one is reported and started again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

AGAIN = 1.0  # seconds from a failure to the next attempt


async def forever(what: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run something until cancelled; after a failure run it again.

    A failure is printed to standard error, once until it is another one.
    """
    printed = ""
    while True:
        try:
            await run()
        except Exception as error:  # noqa: BLE001  whatever it is, the sandbox goes on
            text = f"{what} failed and is tried again: {type(error).__name__}: {error}"
            if text != printed:
                printed = text
                print(f"metricsapi sandbox: {text}", file=sys.stderr, flush=True)
        await asyncio.sleep(AGAIN)
