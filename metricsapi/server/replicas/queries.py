"""What followers tell the leader: which queries they get, so that it can prefetch for them.

Batches of each half second, over the connection of the stream's client. A query that cannot be
sent is dropped: the next of its kind comes soon, and nothing but the age of usage depends on it.
Of a query the leader learns how long ago it came, so no clocks are compared.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence

import httpx

from metricsapi.api.queries import Kind, Query
from metricsapi.server.replicas.messages import (
    LARGEST_BODY,
    LARGEST_QUERY,
    ForwardedQuery,
    FrameReader,
    ProtocolError,
    frame,
)

BATCH = 0.5  # seconds in which queries are gathered
MOST = 1000  # queries of a batch; 5,000 autoscalers on two replicas ask 85 in half a second
OLDEST = 10.0  # seconds of age at which a query tells nothing of the next one

log = logging.getLogger(__name__)


class QueryForwarder:
    """Gathers the queries of a follower, and sends them while it follows.

    `clock` gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pending: dict[Query, float] = {}  # each with the time at which it came first
        self._added = asyncio.Event()
        self._problem = ""

    def add(self, query: Query, at: float) -> None:
        """Note a query that came at `at`; one that is pending already is the same one."""
        if query not in self._pending and len(self._pending) < MOST:
            self._pending[query] = at
            self._added.set()

    async def run(self, client: httpx.AsyncClient, url: str, server_name: str) -> None:
        """Send what is added until cancelled; nothing stays pending."""
        try:
            while True:
                await self._added.wait()
                await asyncio.sleep(BATCH)
                body = self._take()
                if body:
                    self._report(await _post(client, url, server_name, body))
        finally:
            self._clear()

    def _clear(self) -> None:
        self._pending.clear()
        self._added.clear()

    def _take(self) -> bytes:
        """Return the pending queries as a body, without those for which there is no room in it."""
        now, body = self._clock(), bytearray()
        for query, at in self._pending.items():
            forwarded = _frame_of(query, now - at)
            if len(forwarded) <= LARGEST_QUERY and len(body) + len(forwarded) <= LARGEST_BODY:
                body += forwarded
        self._clear()
        return bytes(body)

    def _report(self, problem: str) -> None:
        """Log once per reason that the leader does not take queries."""
        if problem and problem != self._problem:
            log.warning("queries not forwarded to the leader", extra={"data": {"error": problem}})
        self._problem = problem


def _frame_of(query: Query, age: float) -> bytes:
    """Return the frame of a query; nothing for one that is too old, or whose text is no UTF-8."""
    if not 0 <= age <= OLDEST:
        return b""
    user, namespace, selector, kind, name = query
    try:
        return frame(ForwardedQuery(user, namespace, selector, str(kind), age, name))
    except UnicodeEncodeError:
        return b""


async def _post(client: httpx.AsyncClient, url: str, server_name: str, body: bytes) -> str:
    """Send a body; give why the leader did not take it, or nothing."""
    try:
        async with client.stream(
            "POST",
            url,
            content=body,
            headers={"content-type": "application/octet-stream"},
            extensions={"sni_hostname": server_name},
        ) as response:
            if response.status_code == 204:  # which has no body, so the connection can be kept
                await response.aread()
    except (httpx.HTTPError, OSError) as error:
        return str(error) or type(error).__name__
    return "" if response.is_success else f"it responded {response.status_code}"


def read_queries(body: bytes) -> Sequence[tuple[Query, float]]:
    """Return the queries of a body and their ages in seconds. Raises ProtocolError.

    Queries of a kind that this version does not know are left out.
    """
    reader = FrameReader(LARGEST_QUERY)
    messages = reader.feed(body)
    if reader.incomplete:
        raise ProtocolError("the last message is not complete")
    if len(messages) > MOST:
        raise ProtocolError(f"{len(messages)} messages, more than {MOST}")
    queries = []
    for forwarded in messages:
        if not isinstance(forwarded, ForwardedQuery):
            raise ProtocolError(f"a {type(forwarded).__name__} among queries")
        if not (math.isfinite(forwarded.age) and 0 <= forwarded.age <= OLDEST):
            raise ProtocolError(f"a query of {forwarded.age} s ago")
        if forwarded.kind in set(Kind):
            user, namespace, selector = forwarded.user, forwarded.namespace, forwarded.selector
            query = Query(user, namespace, selector, Kind(forwarded.kind), forwarded.name)
            queries.append((query, forwarded.age))
    return queries
