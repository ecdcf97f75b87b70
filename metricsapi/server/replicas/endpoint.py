"""The paths of other replicas, in front of the handler chain: the stream, and followers' queries.

Who asks is known by what replicas show each other alone (`identity`), which gives no right on any
other path. None of this is a request of the API, so neither its metrics, nor the in-flight limit,
nor the request timeout applies.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from cachetools import LRUCache

from metricsapi.api.queries import Query
from metricsapi.api.status import StatusError, send_status
from metricsapi.server.auth.refusals import REVIEW_FAILED
from metricsapi.server.auth.reviews import ReviewError
from metricsapi.server.replicas.identity import ReplicaIdentity
from metricsapi.server.replicas.messages import LARGEST_BODY, PATH, QUERIES_PATH, ProtocolError
from metricsapi.server.replicas.publisher import Publisher
from metricsapi.server.replicas.queries import read_queries

STUCK = 10.0  # seconds in which a follower has to take some of the stream,
PIECE = 64 * 1024  # of so many bytes
RECHECK = 1.0  # seconds between two checks that the follower of a stream is still a replica
RATE = 5.0  # messages a second of one follower, which sends two at most
FOLLOWERS = 64  # addresses whose messages are counted apart
LOG_INTERVAL = 60.0  # seconds between two lines about refused replicas: anybody can cause them

_REFUSED = StatusError(401, "Unauthorized", "Unauthorized")
_NO_METHOD = StatusError(405, "MethodNotAllowed", "the method is not allowed on this path")
_NOT_LEADING = StatusError(503, "ServiceUnavailable", "this replica does not lead")
_TOO_LARGE = StatusError(413, "RequestEntityTooLarge", f"more than {LARGEST_BODY} bytes")
_TOO_MANY = StatusError(429, "TooManyRequests", f"more than {RATE:g} messages a second")

log = logging.getLogger(__name__)


class ReplicaEndpoint:
    """Serves replicas on two paths; every other request goes to `app`.

    `on_query` is called for each query that came to a follower, with the time by `monotonic`.
    `clock` gives epoch seconds.
    """

    def __init__(
        self,
        app: Any,
        publisher: Publisher,
        identity: ReplicaIdentity,
        *,
        leads: Callable[[], bool],
        on_query: Callable[[Query, float], None],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._publisher = publisher
        self._identity = identity
        self._leads = leads
        self._on_query = on_query
        self._clock = clock
        self._monotonic = monotonic
        self._log_after = float("-inf")
        self._allowances: LRUCache[str, Allowance] = LRUCache(FOLLOWERS)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"] if scope["type"] == "http" else None
        if path == PATH:
            await self._serve(scope, receive, send, "GET", self._stream)
        elif path == QUERIES_PATH:
            await self._serve(scope, receive, send, "POST", self._take_queries)
        else:
            await self._app(scope, receive, send)

    async def _serve(
        self,
        scope: Any,
        receive: Any,
        send: Any,
        method: str,
        handler: Callable[[Any, Any, Any], Awaitable[None]],
    ) -> None:
        try:
            refusal = await self._identity.refusal(scope)
        except ReviewError as error:
            self._log_refused(scope, str(error))
            await send_status(scope, send, REVIEW_FAILED)
            return
        if refusal is not None:
            self._log_refused(scope, refusal)
            await send_status(scope, send, _REFUSED)
        elif scope["method"] != method:
            await send_status(scope, send, _NO_METHOD)
        elif not self._leads():
            await send_status(scope, send, _NOT_LEADING)
        else:
            await handler(scope, receive, send)

    def _log_refused(self, scope: Any, reason: str) -> None:
        now = self._clock()
        if now >= self._log_after:
            self._log_after = now + LOG_INTERVAL
            data = {"client": scope["client"], "path": scope["path"], "reason": reason}
            log.warning("refused a replica", extra={"data": data})

    # The stream

    async def _stream(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the stream until it ends, its reader leaves, or is no replica any more."""
        sending = asyncio.ensure_future(self._send(scope, send))
        others = [
            asyncio.ensure_future(_disconnected(receive)),
            asyncio.ensure_future(self._refused(scope)),
        ]
        try:
            await asyncio.wait((sending, *others), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, *others):
                task.cancel()
            await asyncio.gather(sending, *others, return_exceptions=True)
        if not sending.cancelled():
            sending.result()  # a fault of ours is logged as that of any request

    async def _send(self, scope: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/octet-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            async with aclosing(self._publisher.stream()) as pieces:
                async for frames in pieces:
                    for start in range(0, len(frames), PIECE):
                        body = frames[start : start + PIECE]
                        message = {"type": "http.response.body", "body": body, "more_body": True}
                        async with asyncio.timeout(STUCK):
                            await send(message)
        except TimeoutError:
            data = {"client": scope["client"], "seconds": STUCK}
            log.warning("a follower takes nothing; cutting it off", extra={"data": data})
            scope["state"]["abort"]()
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _refused(self, scope: Any) -> None:
        """Cut off a follower once what it showed has expired, or is not trusted any more."""
        while True:
            await asyncio.sleep(RECHECK)
            try:
                refusal = await self._identity.refusal(scope)
            except ReviewError:
                continue  # nothing is known against it
            if refusal is not None:
                self._log_refused(scope, refusal)
                scope["state"]["abort"]()
                return

    # Queries

    async def _take_queries(self, scope: Any, receive: Any, send: Any) -> None:
        """Take the queries of one message, all of them or none."""
        if not self._allowance(scope).take():
            self._log_refused(scope, _TOO_MANY.message)
            await send_status(scope, send, _TOO_MANY)
            return
        body = await _body(receive)
        if body is None:
            return
        if len(body) > LARGEST_BODY:
            self._log_refused(scope, _TOO_LARGE.message)
            await send_status(scope, send, _TOO_LARGE)
            return
        now = self._monotonic()
        try:
            queries = read_queries(body)
        except ProtocolError as error:
            self._log_refused(scope, str(error))
            await send_status(scope, send, StatusError(400, "BadRequest", str(error)))
            return
        for query, age in queries:
            self._on_query(query, now - age)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _allowance(self, scope: Any) -> Allowance:
        """Return that of the follower's address, so that none takes another one's."""
        host, _ = scope["client"]
        allowance = self._allowances.get(host)
        if allowance is None:
            allowance = self._allowances[host] = Allowance(RATE, self._monotonic)
        return allowance


class Allowance:
    """A token bucket: `rate` a second, and as many at once. `clock` gives monotonic seconds."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._available = rate
        self._at = clock()

    def take(self) -> bool:
        """Return whether there is one more."""
        now = self._clock()
        self._available = min(self._rate, self._available + (now - self._at) * self._rate)
        self._at = now
        if self._available < 1:
            return False
        self._available -= 1
        return True


async def _body(receive: Any) -> bytes | None:
    """Return a request's body, or its beginning once that is too large; None if the client left."""
    body = bytearray()
    while len(body) <= LARGEST_BODY:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if not message["more_body"]:
            break
    return bytes(body)


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
