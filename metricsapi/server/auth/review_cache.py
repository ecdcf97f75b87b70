"""Cached reviews: TokenReview and SubjectAccessReview responses of the API server.

An error is never cached. Allowed and denied reviews are cached apart, so that a flood of denied
ones cannot evict those that were allowed. Both caches, and the reviews in flight, are bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from cachetools import TTLCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Observer = Callable[[str, float], None]

SIZE = 8192  # reviews in each cache
IN_FLIGHT = 64  # requests to the API server at once


def unobserved(_result: str, _seconds: float) -> None:
    """Observe nothing."""


class _Pending(Generic[V]):
    """A review that was requested, and how many callers wait for it."""

    def __init__(self, task: asyncio.Task[V]) -> None:
        self.task = task
        self.waiting = 0


class ReviewCache(Generic[K, V]):
    """Reviews by their subject `K`: a token, or a user with the request to authorize.

    `fetch` requests one from the API server, `is_allowed` tells which cache it belongs to. Times
    to live are seconds; 0 caches nothing. `clock` gives monotonic seconds. `observe` is called
    after each request with its result (allowed, denied or error) and its seconds. `hits` and
    `misses` count look-ups.
    """

    def __init__(
        self,
        fetch: Callable[[K], Awaitable[V]],
        is_allowed: Callable[[V], bool],
        *,
        allowed_ttl: float,
        denied_ttl: float,
        clock: Callable[[], float],
        observe: Observer = unobserved,
    ) -> None:
        self.hits = self.misses = 0
        self._fetch = fetch
        self._is_allowed = is_allowed
        self._allowed: TTLCache[K, V] = TTLCache(SIZE, allowed_ttl, timer=clock)
        self._denied: TTLCache[K, V] = TTLCache(SIZE, denied_ttl, timer=clock)
        self._pending: dict[K, _Pending[V]] = {}
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._clock = clock
        self._observe = observe

    def cached(self, subject: K) -> V | None:
        """Return a review that is still valid, or None."""
        try:
            review: V | None = self._allowed[subject]
        except KeyError:
            review = self._denied.get(subject)
        self.hits += review is not None
        return review

    async def get(self, subject: K) -> V:
        """Return the cached review, or request it. Raises what `fetch` raises.

        Callers who wait for the same review share one request; it is cancelled once none of them
        waits any more, so that callers who disconnect leave no requests behind.
        """
        review = self.cached(subject)
        if review is not None:
            return review
        self.misses += 1
        pending = self._pending.get(subject)
        if pending is None:
            task = asyncio.create_task(self._request(subject))
            pending = self._pending[subject] = _Pending(task)
        pending.waiting += 1
        try:
            return await asyncio.shield(pending.task)
        finally:
            pending.waiting -= 1
            if not pending.waiting:
                pending.task.cancel()
                if self._pending.get(subject) is pending:
                    del self._pending[subject]

    async def _request(self, subject: K) -> V:
        async with self._slots:
            started, result = self._clock(), "error"
            try:
                review = await self._fetch(subject)
                result = "allowed" if self._is_allowed(review) else "denied"
            finally:
                self._observe(result, self._clock() - started)
        (self._allowed if result == "allowed" else self._denied)[subject] = review
        return review
