"""Divides long work into slices, between which the event loop serves other requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

SLICE = 0.002  # seconds of work after which a task lets others run

T = TypeVar("T")


async def in_slices(
    items: Iterable[T], seconds: float = SLICE, clock: Callable[[], float] = time.perf_counter
) -> AsyncIterator[list[T]]:
    """Yield `items` in lists, each made within about `seconds`; other tasks run between two lists.

    The work is in the iteration: pass a generator that does a little for each item.
    """
    items, end = iter(items), clock() + seconds
    slice_: list[T] = []
    for item in items:
        slice_.append(item)
        if clock() >= end:
            yield slice_
            slice_ = []
            await asyncio.sleep(0)
            end = clock() + seconds
    if slice_:
        yield slice_


async def one_by_one(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield items for work on each; other tasks run after each slice of that work."""
    until = time.perf_counter() + SLICE
    for item in items:
        yield item
        if time.perf_counter() >= until:
            await asyncio.sleep(0)
            until = time.perf_counter() + SLICE


async def gather(
    items: Iterable[T], seconds: float = SLICE, clock: Callable[[], float] = time.perf_counter
) -> list[T]:
    """Return all items as a list, made in slices."""
    return [item async for slice_ in in_slices(items, seconds, clock) for item in slice_]
