"""The FastAPI application: the group metrics.k8s.io and every other path.

A handler is an async function on a router. The one exception is the group metrics.k8s.io, the
hot path, which stands directly on ASGI (`group`): the framework's layers cost as much as the whole
rest of such a request.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence

import msgspec
from fastapi import APIRouter, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from metricsapi import __version__
from metricsapi.api.asgi import accept_of, query_of
from metricsapi.api.catalog import Catalog
from metricsapi.api.discovery import Documents
from metricsapi.api.group import ROOT, GroupAPI
from metricsapi.api.listing import Listing
from metricsapi.api.openapi import openapi_routes
from metricsapi.api.queries import QueryObserver
from metricsapi.api.render.negotiation import (
    allows_aggregated,
    negotiate,
    pretty_option,
    wants_pretty,
)
from metricsapi.api.resources import VERSIONS, resources_of
from metricsapi.api.status import (
    CACHE_CONTROL,
    Headers,
    StatusError,
    answer_to,
    no_such_method,
    not_acceptable,
)


class Application(FastAPI):
    """A FastAPI app that hands what is at or below `ROOT` to the group's API at once."""

    def __init__(self, group: ASGIApp) -> None:
        super().__init__(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
        self._group = group

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["path"] + "/").startswith(ROOT + "/"):
            await self._group(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    *,
    catalog: Catalog,
    clock: Callable[[], float],
    routes: Sequence[BaseRoute] = (),
    observers: Sequence[QueryObserver] = (),
    address: str = ":443",
    started: float = 0.0,
) -> FastAPI:
    """Return the app over a catalog.

    `clock` gives monotonic seconds; `routes` are those of health, self-metrics and the like;
    `observers` are called for each query; `address` is `host:port` or `:port` as
    discovery shows it; `started` is when this process began (epoch seconds).
    """
    resources = resources_of(catalog)
    documents = Documents(resources, address)
    app = Application(GroupAPI(resources, documents, Listing(clock, observers)))
    app.router.routes += [
        *_discovery_routes(documents),
        *_version_routes(),
        *openapi_routes(__version__, started=started),
        *routes,
    ]
    paths = _path_list(app.router.routes)

    async def path_list(_: Request) -> Response:
        return _json(paths)

    async def not_found(_request: Request, _error: Exception) -> Response:
        """Unknown paths get the list of known ones, as any Go API server gives it."""
        return _json(paths, 404)

    app.add_api_route("/", path_list)
    app.add_exception_handler(404, not_found)
    app.add_exception_handler(405, _method_not_allowed)
    app.add_exception_handler(StatusError, _status)
    return app


def _discovery_routes(documents: Documents) -> list[BaseRoute]:
    router = APIRouter()

    @router.get("/apis")
    async def groups(request: Request) -> Response:
        media = negotiate(accept_of(request.scope), allows_aggregated)
        if media is None:
            raise not_acceptable()
        agent = request.headers.get("user-agent", "")
        pretty = wants_pretty(pretty_option(query_of(request.scope)), agent)
        if media.convert is None:
            body = documents.body("/", media, pretty=pretty)
            return Response(body, headers=_text([CACHE_CONTROL]), media_type=media.type)
        known = request.headers.get("if-none-match", "")
        code, headers, body = documents.aggregated(media, pretty=pretty, known=known)
        return Response(body, code, _text(headers))

    return router.routes


def _version_routes() -> list[BaseRoute]:
    """`/version`: what this server is, in the fields of `version.Info`."""
    major, minor = __version__.split(".")[:2]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    body = _indented({
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
    })  # fmt: skip
    router = APIRouter()

    @router.get("/version")
    async def version(_: Request) -> Response:
        return _json(body)

    return router.routes


def _path_list(routes: Sequence[BaseRoute]) -> bytes:
    own = {ROOT, *(f"{ROOT}/{version}" for version in VERSIONS)}
    others = {
        route.path.removesuffix("{name:path}") for route in routes if isinstance(route, Route)
    }
    return _indented({"paths": sorted(own | others)})


async def _status(request: Request, error: Exception) -> Response:
    assert isinstance(error, StatusError)  # noqa: S101  it is registered for no other
    headers, body = answer_to(request.scope, error)
    return Response(body, error.code, _text(headers))


async def _method_not_allowed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  it is registered for no other
    return await _status(request, no_such_method(error.headers))


def _indented(content: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=2)


def _json(body: bytes, code: int = 200) -> Response:
    return Response(body, code, _text([CACHE_CONTROL, (b"content-type", b"application/json")]))


def _text(headers: Headers) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}
