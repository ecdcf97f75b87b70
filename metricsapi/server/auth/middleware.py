"""The way of a request to the app: identity, a place, permission, then the handler."""

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
from metricsapi.server.auth.in_flight import TOO_MANY, Gate
from metricsapi.server.auth.refusals import UNANSWERED, UNAUTHORIZED, forbidden
from metricsapi.server.auth.request_info import Attributes, attributes_of
from metricsapi.server.auth.reviews import ReviewError
from metricsapi.server.auth.user import MASTERS, User

App = Callable[[Any, Any, Any], Awaitable[None]]

_KEPT = 1024  # requests whose attributes are remembered; controllers ask the same again and again

log = logging.getLogger(__name__)


class AuthMiddleware:
    """Sets `scope["state"]["user"]` and passes on what is allowed; answers the rest itself.

    `clock` gives epoch seconds, for certificates.
    """

    def __init__(
        self,
        app: App,
        authenticator: Authenticator,
        authorizer: Authorizer,
        *,
        gate: Gate | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._gate = gate or Gate()
        self._clock = clock
        self._cached_attributes = lru_cache(_KEPT)(attributes_of)

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        state, headers = scope["state"], scope["headers"]
        try:
            query = query_of(scope)
            read = self._cached_attributes if query.cacheable else attributes_of
            attributes = read(scope["method"], scope["path"], query)
        except StatusError as error:
            await send_status(scope, send, error)
            return
        user, faults = self._authenticator.by_certificate(state.get("peer"), headers, self._clock())
        must_get_in = MASTERS in user.groups if user else self._authorizer.is_open(attributes)
        if not self._gate.enter(reserved=must_get_in):
            await send_status(scope, send, TOO_MANY)
            return
        try:
            admitted = await self._admit(scope, attributes, user, faults)
            if isinstance(admitted, StatusError):
                await send_status(scope, send, admitted)
            else:
                state["user"] = admitted
                await self._app(scope, receive, send)
        finally:
            self._gate.leave()

    async def _admit(
        self, scope: Any, attributes: Attributes, user: User | None, faults: list[str]
    ) -> User | StatusError:
        """Give the caller who may do this, or the refusal; only the log knows why."""
        try:
            if user is None:
                user = await self._authenticator.by_token(scope["headers"], faults)
            decision = self._authorizer.known(user, attributes)
            if decision is None:
                decision = await self._authorizer.decide(user, attributes)
        except Unauthenticated as error:
            _log(logging.INFO, "unauthorized", scope, reason=str(error))
            return UNAUTHORIZED
        except ReviewError as error:
            _log(logging.WARNING, "could not authorize", scope, error=str(error))
            return UNANSWERED
        if decision.allowed:
            return user
        _log(logging.DEBUG, "forbidden", scope, user=user.name, verb=attributes.verb)
        return forbidden(user, attributes, decision.reason)


def _log(level: int, event: str, scope: Any, **data: str) -> None:
    if log.isEnabledFor(level):
        log.log(
            level,
            event,
            extra={"data": {"client": scope["client"], "path": scope["path"], **data}},
        )
