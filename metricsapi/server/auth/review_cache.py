"""Answers that only the API server can give: kept for a while, and asked for once at a time.

An error is never kept and never an answer. Yes and no are kept apart, so that a flood of refused
questions cannot push out what was allowed, and both are bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from cachetools import TTLCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Observer = Callable[[str, float], None]

KEPT = 8192  # answers of each kind
ASKING = 64  # questions that are with the API server at once


def unobserved(_result: str, _seconds: float) -> None:
    """Tell nobody."""


class _Asked(Generic[V]):
    """A question that is with the API server, and how many callers wait for its answer."""

    def __init__(self, task: asyncio.Task[V]) -> None:
        self.task = task
        self.waiting = 0


class Answers(Generic[K, V]):
    """Answers by question. `ask` gets one from the API server, `is_yes` tells which kind it is.

    Times to live are seconds; 0 keeps nothing. `clock` gives monotonic seconds. `observe` is told
    of each question asked: allowed, denied or error, and the seconds that it took. `hits` and
    `misses` count look-ups.
    """

    def __init__(
        self,
        ask: Callable[[K], Awaitable[V]],
        is_yes: Callable[[V], bool],
        *,
        yes_ttl: float,
        no_ttl: float,
        clock: Callable[[], float],
        size: int = KEPT,
        observe: Observer = unobserved,
    ) -> None:
        self.hits = self.misses = 0
        self._ask = ask
        self._is_yes = is_yes
        self._yes: TTLCache[K, V] = TTLCache(size, yes_ttl, timer=clock)
        self._no: TTLCache[K, V] = TTLCache(size, no_ttl, timer=clock)
        self._asked: dict[K, _Asked[V]] = {}
        self._turn = asyncio.Semaphore(ASKING)
        self._clock = clock
        self._observe = observe

    def known(self, question: K) -> V | None:
        """Give an answer that is still good, or None."""
        try:
            answer: V | None = self._yes[question]
        except KeyError:
            answer = self._no.get(question)
        self.hits += answer is not None
        return answer

    async def get(self, question: K) -> V:
        """Give the answer, asking for it if it is not known. Raises what `ask` raises."""
        answer = self.known(question)
        if answer is not None:
            return answer
        self.misses += 1
        asked = self._asked.get(question)
        if asked is None:
            asked = self._asked[question] = _Asked(asyncio.create_task(self._fetch(question)))
        asked.waiting += 1
        try:
            # One caller who goes away must not take the answer from the others.
            return await asyncio.shield(asked.task)
        finally:
            asked.waiting -= 1
            if not asked.waiting:  # nobody is left who would hear it: so questions are bounded
                asked.task.cancel()
                if self._asked.get(question) is asked:
                    del self._asked[question]

    async def _fetch(self, question: K) -> V:
        async with self._turn:
            begun, result = self._clock(), "error"
            try:
                answer = await self._ask(question)
                result = "allowed" if self._is_yes(answer) else "denied"
            finally:
                self._observe(result, self._clock() - begun)
        (self._yes if result == "allowed" else self._no)[question] = answer
        return answer
