"""The handler chain: what a request passes before it reaches the app, and in which order.

k8s.io/apiserver has the same in `DefaultBuildHandlerChain`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from metricsapi.server.auth.authenticator import Authenticator
from metricsapi.server.auth.authorizer import Authorizer
from metricsapi.server.auth.in_flight import InFlightLimit
from metricsapi.server.auth.middleware import AuthMiddleware
from metricsapi.server.http.request_log import RequestLog
from metricsapi.server.http.timeout import RequestTimeout
from metricsapi.server.operator.request_metrics import RequestTelemetry
from metricsapi.telemetry.metrics import Telemetry


def build_handler_chain(
    app: Any,
    *,
    telemetry: Telemetry,
    request_timeout: float,
    authenticator: Authenticator,
    authorizer: Authorizer,
    in_flight: InFlightLimit,
    replicas: Callable[[Any], Any] | None = None,
) -> Any:
    """Put the middleware around an ASGI app; `request_timeout` is in seconds.

    `replicas` is what serves other replicas; None where there is no leader election.

    A request passes it from top to bottom, its answer from bottom to top.
    """
    chain: tuple[Callable[[Any], Any], ...] = (
        # Its id, its line in the log, and 500 for what nobody foresaw.
        RequestLog,
        # Counted and timed, whatever becomes of it.
        partial(RequestTelemetry, telemetry=telemetry),
        # The stream that other replicas read, which no timeout and no limit below may end.
        *([replicas] if replicas else []),
        # 504 when its time is over.
        partial(RequestTimeout, seconds=request_timeout),
        # Authentication (401), the in-flight limit (429) and authorization (403).
        partial(
            AuthMiddleware,
            authenticator=authenticator,
            authorizer=authorizer,
            in_flight=in_flight,
        ),
    )
    for middleware in reversed(chain):
        app = middleware(app)
    return app
