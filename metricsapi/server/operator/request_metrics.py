"""Counts and times HTTP requests by verb, resource, scope and status code."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metricsapi.telemetry.metrics import Telemetry

_RESOURCE = re.compile(
    r"^/apis/(?P<group>metrics\.k8s\.io)/(?P<version>v1|v1beta1)"
    r"(?:/namespaces?/[^/]+)?/(?P<resource>nodes|pods)(?P<name>/[^/]+)?/?$"
)
_OTHER = ("", "", "", "", "")
Target = tuple[str, str, str, str, str, str]


def target_of(method: str, path: str) -> Target:
    """Return (verb, group, version, resource, subresource, scope) as API servers count requests.

    A path that is not one of our resources gets empty labels, so that callers cannot make series.
    """
    verb = method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") else "other"
    match = _RESOURCE.match(path)
    if match is None:
        return (verb, *_OTHER)
    named, single = "/namespace" in path, match["name"] is not None
    scope = "resource" if single else "namespace" if named else "cluster"
    if verb == "GET" and not single:
        verb = "LIST"
    return (verb, match["group"], match["version"], match["resource"], "", scope)


class RequestTelemetry:
    """ASGI middleware that counts and times every HTTP request, refused ones included."""

    def __init__(
        self,
        app: ASGIApp,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, code = self._clock(), 500

        async def send_noting(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        self._telemetry.inflight += 1
        try:
            await self._app(scope, receive, send_noting)
        finally:
            self._telemetry.inflight -= 1
            target = target_of(scope["method"], scope["path"])
            self._telemetry.request(target, code, self._clock() - started)
