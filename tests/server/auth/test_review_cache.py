"""Reviews are requested once for all who wait, and not at all once nobody waits."""

import asyncio
import time

import pytest

from metricsapi.server.auth.review_cache import ReviewCache


class Server:
    """An API server that responds once `respond` is set; `requested` and `ended` are subjects."""

    def __init__(self):
        self.requested, self.ended, self.respond = [], [], asyncio.Event()

    async def review(self, subject):
        self.requested.append(subject)
        try:
            await self.respond.wait()
        finally:
            self.ended.append(subject)
        return subject


def cache_of(server):
    return ReviewCache(server.review, bool, allowed_ttl=10.0, denied_ttl=10.0, clock=time.monotonic)


async def get(cache, subject, seconds):
    async with asyncio.timeout(seconds):
        return await cache.get(subject)


async def test_callers_who_disconnect_leave_no_requests_behind():
    server = Server()
    cache = cache_of(server)
    results = await asyncio.gather(
        *(get(cache, number, 0.05) for number in range(200)), return_exceptions=True
    )
    assert all(isinstance(result, TimeoutError) for result in results)
    await asyncio.sleep(0)
    assert server.ended == server.requested  # at most 64 at once; the others were never requested
    server.respond.set()
    assert await get(cache, 7, 1.0) == 7
    assert await get(cache, 199, 1.0) == 199


async def test_a_caller_who_disconnects_does_not_take_the_review_from_the_others():
    server = Server()
    cache = cache_of(server)
    stays = asyncio.create_task(get(cache, "pods", 5.0))
    with pytest.raises(TimeoutError):
        await get(cache, "pods", 0.01)
    server.respond.set()
    assert await stays == "pods"
    assert server.requested == ["pods"]
