"""Request ids, which go with every line of the log about a request; a line each from -v=2 on."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from metricsapi.api.status import StatusError, send_status
from metricsapi.telemetry.logs import REQUEST_ID, REQUESTS

AUDIT_ID = b"audit-id"  # the header
_USABLE = re.compile(rb"[!-~]{1,64}")

log = logging.getLogger(__name__)


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the id of a request: the caller's `Audit-ID` if it is usable, or a new one."""
    given = next((value for name, value in headers if name == AUDIT_ID), b"")
    return given if _USABLE.fullmatch(given) else str(uuid.uuid4()).encode()


class RequestLog:
    """ASGI middleware. API servers send the id of their own request on, as `Audit-ID`.

    It goes back in the response's `Audit-Id` (k8s.io/apiserver, `WithAuditInit`), and into every
    line that is logged while the request is served. `clock` gives monotonic seconds.
    """

    def __init__(self, app: Any, clock: Callable[[], float] = time.perf_counter) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        own = request_id(scope["headers"])
        REQUEST_ID.set(own.decode())
        code, started = 0, self._clock()

        async def watch(message: Any) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                message["headers"] = [*message.get("headers", ()), (AUDIT_ID, own)]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:  # a fault of ours: the caller gets its id, the log its traceback
            log.exception("request failed", extra={"data": {"path": scope["path"]}})
            if not code:
                text = f"Internal error occurred: see the server's log for request {own.decode()}"
                await send_status(scope, watch, StatusError(500, "InternalError", text))
        finally:
            if log.isEnabledFor(REQUESTS):
                log.log(
                    REQUESTS,
                    "request",
                    extra={"data": _described(scope, code, self._clock() - started)},
                )


def _described(scope: Any, code: int, seconds: float) -> dict[str, object]:
    """Return what is logged of a request; `code` is 0 without a response."""
    user = scope["state"].get("user")
    query = scope["query_string"].decode("latin-1")
    agent = (value for name, value in scope["headers"] if name == b"user-agent")
    return {
        "client": ":".join(map(str, scope["client"] or ())),
        "user": user.name if user else None,
        "method": scope["method"],
        "path": f"{scope['path']}?{query}" if query else scope["path"],
        "agent": next(agent, b"").decode("latin-1"),
        "code": code,
        "seconds": round(seconds, 4),
    }
