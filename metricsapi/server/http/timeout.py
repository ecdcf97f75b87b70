"""The most time that one request may take: k8s.io/apiserver's `--request-timeout`."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from metricsapi.api.asgi import query_of
from metricsapi.api.status import StatusError, send_status
from metricsapi.config.durations import parse_duration

OVERDUE = StatusError(
    504,
    "Timeout",
    "Timeout: request did not complete within the allotted timeout",
    {},
)

log = logging.getLogger(__name__)


class RequestTimeout:
    """ASGI middleware that responds with 504 when the app has not responded within `seconds`.

    A response that has begun and does not end in time is cut off, as in k8s.io/apiserver: the
    connection closes before the end of the response.
    """

    def __init__(self, app: Any, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        begun = False

        async def send_noting(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with asyncio.timeout(self._allowed(scope)) as timer:
                await self._app(scope, receive, send_noting)
        except TimeoutError:
            if not timer.expired():
                raise
            log.warning(
                "request took too long",
                extra={"data": {"client": scope["client"], "path": scope["path"], "begun": begun}},
            )
            if begun:
                await _cut_off(scope, receive)
            else:
                await send_status(scope, send, OVERDUE)

    def _allowed(self, scope: Any) -> float:
        """Return the seconds for a request: its own `timeout` if that is shorter."""
        if b"timeout=" not in scope["query_string"]:
            return self._seconds
        try:
            requested = parse_duration(query_of(scope).get("timeout"))
        except ValueError:  # the handler refuses it
            return self._seconds
        return min(requested, self._seconds) if requested > 0 else self._seconds


async def _cut_off(scope: Any, receive: Any) -> None:
    scope["state"]["abort"]()
    while (await receive())["type"] != "http.disconnect":
        pass
