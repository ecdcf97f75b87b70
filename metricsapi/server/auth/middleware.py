"""Authentication, the in-flight limit and authorization, in this order, before the app."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from metricsapi.api.asgi import query_of
from metricsapi.api.status import Send, StatusError, send_status
from metricsapi.server.auth.authenticator import Authenticator, Unauthenticated
from metricsapi.server.auth.authorizer import Authorizer
from metricsapi.server.auth.in_flight import TOO_MANY, InFlightLimit
from metricsapi.server.auth.refusals import REVIEW_FAILED, UNAUTHORIZED, forbidden
from metricsapi.server.auth.request_info import RequestInfo, request_info
from metricsapi.server.auth.reviews import ReviewError
from metricsapi.server.auth.user import MASTERS, User

App = Callable[[Any, Any, Any], Awaitable[None]]

_PARSED = 1024  # request infos that are cached: controllers repeat the same requests

log = logging.getLogger(__name__)


class AuthMiddleware:
    """Sets `scope["state"]["user"]` and passes on what is allowed; responds to the rest itself.

    `rejected` is called with the scope of each request beyond the in-flight limit. `clock` gives
    epoch seconds, for certificates.
    """

    def __init__(
        self,
        app: App,
        authenticator: Authenticator,
        authorizer: Authorizer,
        *,
        in_flight: InFlightLimit | None = None,
        rejected: Callable[[Any], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._in_flight = in_flight or InFlightLimit()
        self._rejected = rejected
        self._clock = clock
        self._request_info = lru_cache(_PARSED)(request_info)

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        state, headers = scope["state"], scope["headers"]
        try:
            query = query_of(scope)
            parse = self._request_info if query.cacheable else request_info
            info = parse(scope["method"], scope["path"], query)
        except StatusError as error:
            await send_status(scope, send, error)
            return
        user, faults = self._authenticator.by_certificate(state.get("peer"), headers, self._clock())
        reserved = MASTERS in user.groups if user else self._authorizer.is_open(info)
        if not self._in_flight.acquire(reserved=reserved):
            self._rejected(scope)
            await send_status(scope, send, TOO_MANY)
            return
        try:
            admitted = await self._admit(scope, info, user, faults)
            if isinstance(admitted, StatusError):
                await send_status(scope, send, admitted)
            else:
                state["user"] = admitted
                await self._app(scope, receive, send)
        finally:
            self._in_flight.release()

    async def _admit(
        self, scope: Any, info: RequestInfo, user: User | None, faults: list[str]
    ) -> User | StatusError:
        """Return the caller if the request is allowed, else the refusal; its reason is logged."""
        try:
            if user is None:
                user = await self._authenticator.by_token(scope["headers"], faults)
            decision = self._authorizer.decide_locally(user, info)
            if decision is None:
                decision = await self._authorizer.decide(user, info)
        except Unauthenticated as error:
            _log(logging.INFO, "unauthorized", scope, reason=str(error))
            return UNAUTHORIZED
        except ReviewError as error:
            _log(logging.WARNING, "could not authorize", scope, error=str(error))
            return REVIEW_FAILED
        if decision.allowed:
            return user
        _log(logging.DEBUG, "forbidden", scope, user=user.name, verb=info.verb)
        return forbidden(user, info, decision.reason)


def _log(level: int, event: str, scope: Any, **data: str) -> None:
    if log.isEnabledFor(level):
        log.log(
            level,
            event,
            extra={"data": {"client": scope["client"], "path": scope["path"], **data}},
        )
