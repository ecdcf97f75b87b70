"""Lists in batches: tuples of some hundred items.

In a single list they would be young objects in each garbage collection while a response is made:
for 150,000 pods that blocked the event loop for 17 to 87 ms each time. Tuples of
objects without references of their own, such as entries and bytes, are untracked at the first
collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import TypeVar

BATCH = 256  # entries

T = TypeVar("T")
Batches = Sequence[tuple[T, ...]]


def in_batches(runs: Iterable[Iterable[T]]) -> Batches[T]:
    """Cut the items of all runs, in their order, into batches."""
    items = chain.from_iterable(runs)
    batches = []
    while batch := tuple(islice(items, BATCH)):
        batches.append(batch)
    return batches


def count(batches: Batches[T]) -> int:
    """Return the number of items in all batches."""
    return sum(map(len, batches))


def first(batches: Batches[T], limit: int) -> Batches[T]:
    """Return batches of no more than the first `limit` items."""
    result = []
    for batch in batches:
        result.append(batch[:limit])
        limit -= len(batch)
        if limit <= 0:
            break
    return result


def after(batches: Batches[T], item: T) -> int:
    """Return the number of items after this one. Raises ValueError when it is in no batch."""
    following = count(batches)
    for batch in batches:
        following -= len(batch)
        if item in batch:
            return following + len(batch) - batch.index(item) - 1
    raise ValueError("the item is in no batch")
