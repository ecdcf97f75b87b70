"""The handler chain: what a request passes before it reaches the app, and in which order.

k8s.io/apiserver has the same in `DefaultBuildHandlerChain`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from metricsapi.server.auth.authenticator import Authenticator
from metricsapi.server.auth.authorizer import Authorizer
from metricsapi.server.auth.in_flight import TOO_MANY, InFlightLimit
from metricsapi.server.auth.middleware import AuthMiddleware
from metricsapi.server.http.refusal import IN_FLIGHT, Refused
from metricsapi.server.http.refusal_log import RefusalLog
from metricsapi.server.http.request_log import RequestLog
from metricsapi.server.http.timeout import RequestTimeout
from metricsapi.server.operator.request_metrics import RequestTelemetry
from metricsapi.server.replicas.replication import Middleware
from metricsapi.telemetry.logs import REQUEST_ID
from metricsapi.telemetry.metrics import Telemetry


def build_handler_chain(
    app: Any,
    *,
    telemetry: Telemetry,
    request_timeout: float,
    authenticator: Authenticator,
    authorizer: Authorizer,
    in_flight: InFlightLimit,
    refusals: RefusalLog,
    replicas: Middleware | None = None,
) -> Any:
    """Put the middleware around an ASGI app; `request_timeout` is in seconds.

    `refusals` counts and logs what is beyond a limit. `replicas` is what replicas need;
    None without --leader-elect.

    A request passes it from top to bottom, its response from bottom to top.
    """
    chain: tuple[Callable[[Any], Any], ...] = (
        # Its id, its line in the log, and 500 for what nobody foresaw.
        RequestLog,
        # What other replicas ask: no request of the API, so nothing below applies to it.
        *([replicas.endpoint] if replicas else []),
        # Counted and timed, whatever becomes of it.
        partial(RequestTelemetry, telemetry=telemetry),
        # 503 for usage that is stale.
        *([replicas.refuse_stale] if replicas else []),
        # 504 when its time is over.
        partial(RequestTimeout, seconds=request_timeout),
        # Authentication (401), the in-flight limit (429) and authorization (403).
        partial(
            AuthMiddleware,
            authenticator=authenticator,
            authorizer=authorizer,
            in_flight=in_flight,
            rejected=partial(_note_rejected, refusals),
        ),
    )
    for middleware in reversed(chain):
        app = middleware(app)
    return app


def _note_rejected(refusals: RefusalLog, scope: Any) -> None:
    refusals.note(Refused(IN_FLIGHT, TOO_MANY), scope["client"], REQUEST_ID.get())
