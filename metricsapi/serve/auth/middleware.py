"""The way of a request to the app: identity, then permission, then the handler."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from metricsapi.serve.auth.authenticator import Authenticator
from metricsapi.serve.auth.user import ANONYMOUS, MASTERS, User
from metricsapi.serve.status import StatusError

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

log = logging.getLogger(__name__)


class AuthMiddleware:
    """Sets `scope["state"]["user"]` and passes on what is allowed; answers the rest itself."""

    def __init__(self, app: App, authenticator: Authenticator, open_paths: frozenset[str]) -> None:
        self._app = app
        self._authenticator = authenticator
        self._open = open_paths

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        try:
            user = self._identify(scope)
            self._permit(user, scope["path"])
        except StatusError as error:
            await answer(send, error)
            return
        scope["state"]["user"] = user
        await self._app(scope, receive, send)

    def _permit(self, user: User, path: str) -> None:
        if MASTERS not in user.groups and path not in self._open:
            raise StatusError(403, "Forbidden", "forbidden", {})

    def _identify(self, scope: Any) -> User:
        peer = scope["state"].get("peer")
        user, faults = self._authenticator.by_certificate(peer, scope["headers"], time.time())
        if user is not None:
            return user
        if faults:
            log.info("unauthorized request from %s: %s", scope["client"], "; ".join(faults))
            raise StatusError(401, "Unauthorized", "Unauthorized")
        return ANONYMOUS


async def answer(send: Send, error: StatusError) -> None:
    """Send a `Status` as the Go API server does; only a refusal carries `nosniff`."""
    body = error.json()
    headers = [
        (b"cache-control", b"no-cache, private"),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in error.headers.items()),
    ]
    if error.code == 403:
        headers.append((b"x-content-type-options", b"nosniff"))
    await send({"type": "http.response.start", "status": error.code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
