"""What replicas need in front of the handler chain: the followers' path, and a check for stalls.

Who asks is known by the certificate of the connection alone, which gives no right on any other
path; a stream is no request of the API, so neither the in-flight limit nor the request timeout
applies to it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from metricsapi.api.status import StatusError, send_status
from metricsapi.server.replicas.identity import ReplicaIdentity
from metricsapi.server.replicas.messages import PATH
from metricsapi.server.replicas.publisher import Publisher

STUCK = 10.0  # seconds in which a follower has to take a piece of the stream
LOG_INTERVAL = 60.0  # seconds between two lines about refused replicas: anybody can cause them

_REFUSED = StatusError(401, "Unauthorized", "Unauthorized")
_NOT_LEADING = StatusError(503, "ServiceUnavailable", "this replica does not lead")
_STALE = StatusError(
    503,
    "ServiceUnavailable",
    "this replica stood still and scrapes again; ask again",
    headers={"retry-after": "1"},
)
_USAGE = re.compile(r"/apis/metrics\.k8s\.io/[^/]+/.")

log = logging.getLogger(__name__)


class ReplicaEndpoint:
    """Streams to replicas on `PATH`; every other request goes to `app`.

    Requests for usage are refused while it is not `fresh`. `clock` gives epoch seconds.
    """

    def __init__(
        self,
        app: Any,
        publisher: Publisher,
        identity: ReplicaIdentity,
        *,
        leads: Callable[[], bool],
        fresh: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._publisher = publisher
        self._identity = identity
        self._leads = leads
        self._fresh = fresh
        self._clock = clock
        self._log_after = float("-inf")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            if scope["type"] == "http" and not self._fresh() and _USAGE.match(scope["path"]):
                await send_status(scope, send, _STALE)
            else:
                await self._app(scope, receive, send)
            return
        fault = self._identity.fault(scope["state"].get("peer"), self._clock())
        if fault is not None:
            self._log_refused(scope["client"], fault)
            await send_status(scope, send, _REFUSED)
        elif scope["method"] != "GET" or not self._leads():
            await send_status(scope, send, _NOT_LEADING)
        else:
            await self._stream(scope, receive, send)

    def _log_refused(self, client: object, reason: str) -> None:
        now = self._clock()
        if now >= self._log_after:
            self._log_after = now + LOG_INTERVAL
            data = {"client": client, "reason": reason}
            log.warning("refused a replica", extra={"data": data})

    async def _stream(self, scope: Any, receive: Any, send: Any) -> None:
        sending = asyncio.ensure_future(self._send(scope, send))
        leaving = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if not sending.cancelled():
            sending.result()  # a fault of ours is logged as that of any request

    async def _send(self, scope: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/octet-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            async with aclosing(self._publisher.stream()) as pieces:
                async for piece in pieces:
                    async with asyncio.timeout(STUCK):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError:
            data = {"client": scope["client"], "seconds": STUCK}
            log.warning("a follower takes nothing; cutting it off", extra={"data": data})
            scope["state"]["abort"]()
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
