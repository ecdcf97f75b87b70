"""The FastAPI application: the group metrics.k8s.io and every other path."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.requests import Request
from fastapi.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from metricsapi import __version__
from metricsapi.api.catalog import Catalog, Entry
from metricsapi.api.discovery import Documents
from metricsapi.api.group import ROOT, GroupAPI
from metricsapi.api.listing import Listing
from metricsapi.api.nodes import nodes
from metricsapi.api.openapi import openapi_routes
from metricsapi.api.pods import pods
from metricsapi.api.render.negotiation import allows_aggregated, negotiate
from metricsapi.api.resource import VERSIONS
from metricsapi.api.status import (
    CACHE_CONTROL,
    StatusError,
    no_such_method,
    not_acceptable,
    represent,
    send_status,
)


class Below(BaseRoute):
    """A route for every path at or below `root`, whatever the method: an ASGI app answers."""

    def __init__(self, root: str, app: ASGIApp) -> None:
        self.path = root
        self._below = root + "/"
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = scope["path"]
        if path == self.path or path.startswith(self._below):
            return Match.FULL, {}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class Application(FastAPI):
    """A FastAPI app that hands what is at or below `ROOT` to the group's API at once.

    As a route like the others that would pass through the framework's layers, which cost as much
    as the whole rest of such a request.
    """

    def __init__(self, group: ASGIApp) -> None:
        super().__init__(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
        self._group = Below(ROOT, group)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._group.matches(scope)[0] is Match.FULL:
            await self._group.handle(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    *,
    catalog: Catalog,
    clock: Callable[[], float],
    routes: Sequence[BaseRoute] = (),
    observe: Callable[[Sequence[Entry]], None] = lambda _: None,
    address: str = ":443",
    started: float = 0.0,
) -> FastAPI:
    """Give the app over a catalog.

    `clock` gives monotonic seconds; `routes` are those of health, self-metrics and the like;
    `observe` is told of the entries of each answer; `address` is `host:port` or `:port` as
    discovery shows it; `started` is when this process began (epoch seconds).
    """
    resources = [nodes(catalog), pods(catalog)]
    documents = Documents(resources, address)
    app = Application(GroupAPI(resources, documents, Listing(clock, observe)))
    app.router.routes.append(Below("/apis", _groups(documents)))
    app.router.routes.append(Below("/version", _version()))
    app.router.routes.extend(openapi_routes(__version__, resources, made_at=started))
    app.router.routes.extend(routes)
    app.router.routes.append(Route("/", _path_list(app, 200)))
    app.router.default = _not_found(app)
    app.add_exception_handler(StatusError, _status_answer)
    return app


def _groups(documents: Documents) -> ASGIApp:
    """`/apis` itself; what is below it and not our group is an unknown path."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        accept = request.headers.get("accept", "")
        if scope["path"].rstrip("/") != "/apis":
            await scope["app"].router.default(scope, receive, send)
            return
        if scope["method"] != "GET":
            await send_status(send, no_such_method(), accept)
            return
        pretty = request.query_params.get("pretty", "0") in ("", "1", "true")
        media = negotiate(accept, allows_aggregated)
        if media is None:
            await send_status(send, not_acceptable(), accept)
        elif media.convert is None:
            await documents.send(send, "/", media, pretty=pretty)
        else:
            known = request.headers.get("if-none-match", "")
            await documents.send_aggregated(send, media, pretty=pretty, known=known)

    return answer


def _version() -> ASGIApp:
    """`/version`: what this server is, in the fields of `version.Info`."""
    major, minor = __version__.split(".")[:2]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    body = msgspec.json.format(
        msgspec.json.encode({
            "major": major,
            "minor": minor,
            **{f"{what}{part}": value for what in ("emulation", "minCompatibility")
               for part, value in (("Major", major), ("Minor", minor))},
            "gitVersion": f"v{__version__}",
            "gitCommit": "",
            "gitTreeState": "",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": f"python{platform.python_version()}",
            "compiler": sys.implementation.name,
            "platform": f"{sys.platform}/{machine}",
        }),
        indent=2,
    )  # fmt: skip

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        accept = request.headers.get("accept", "")
        if scope["path"].rstrip("/") != "/version":
            await scope["app"].router.default(scope, receive, send)
        elif scope["method"] != "GET":
            await send_status(send, no_such_method(), accept)
        else:
            await _json(body)(scope, receive, send)

    return answer


def _path_list(app: FastAPI, code: int) -> Callable[[Request], Any]:
    async def answer(_: Request) -> Response:
        own = {"/apis", ROOT, "/version", *(f"{ROOT}/{one}" for one in VERSIONS)}
        others = {
            route.path.removesuffix("{name:path}")
            for route in app.router.routes
            if isinstance(route, Route) and route.path != "/"
        }
        paths = {"paths": sorted(own | others)}
        return _json(msgspec.json.format(msgspec.json.encode(paths), indent=2), code)

    return answer


def _not_found(app: FastAPI) -> ASGIApp:
    """Unknown paths get the list of known ones, as any Go API server gives it."""
    answer = _path_list(app, 404)

    async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
        response = await answer(Request(scope))
        await response(scope, receive, send)

    return not_found


async def _status_answer(request: Request, error: Exception) -> Response:
    assert isinstance(error, StatusError)  # noqa: S101  it is registered for no other
    content_type, body = represent(error, request.headers.get("accept", ""))
    return Response(body, error.code, {**error.headers, "content-type": content_type})


def _json(body: bytes, code: int = 200) -> Response:
    name, value = CACHE_CONTROL
    return Response(body, code, {name.decode(): value.decode(), "content-type": "application/json"})
