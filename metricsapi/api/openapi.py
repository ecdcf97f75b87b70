"""`/openapi/v2` and `/openapi/v3`, for `kubectl explain` and the API server's aggregators.

The documents are the data files `openapi_v2.json` and `openapi_v3.json` (the latter has a document
for each group and version, by its name). Only our version is filled in here.
"""

from __future__ import annotations

import hashlib
from email.utils import formatdate, parsedate_to_datetime
from importlib.resources import files
from typing import Any

import msgspec
from fastapi import APIRouter
from fastapi.requests import Request
from fastapi.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from metricsapi.api.asgi import accept_of, query_of
from metricsapi.api.render.negotiation import JSON, parse_accept

READ = ["GET", "HEAD"]
_YEAR = 31_536_000  # seconds


def openapi_routes(version: str, *, started: float) -> list[BaseRoute]:
    """Return the routes; `started` is when this process began (epoch seconds)."""
    v2, v3 = read_documents(version)
    whole = _Document(v2, started)
    parts = {name: _Document(content, started) for name, content in v3.items()}
    urls = {name: f"/openapi/v3/{name}?hash={part.hash}" for name, part in parts.items()}
    index = _Document(
        {"paths": {name: {"serverRelativeURL": url} for name, url in urls.items()}}, started
    )
    router = APIRouter()

    @router.api_route("/openapi/v2", methods=READ)
    async def openapi_v2(request: Request) -> Response:
        return whole.respond(request, Vary="Accept")

    @router.api_route("/openapi/v3", methods=READ)
    async def openapi_v3(request: Request) -> Response:
        return index.respond(request)

    @router.api_route("/openapi/v3/{name:path}", methods=READ)
    async def openapi_v3_document(request: Request) -> Response:
        name = request.path_params["name"]
        part = parts.get(name)
        if part is None:
            headers = {
                "Content-Type": "text/plain; charset=utf-8",
                "X-Content-Type-Options": "nosniff",
            }
            return Response("404 page not found\n", 404, headers)
        query = query_of(request.scope)
        if "hash" not in query:
            return part.respond(request, Vary="Accept")
        if query.get("hash") != part.hash:
            return RedirectResponse(urls[name], 301)
        # What an address with a hash gives never changes.
        forever = {"Cache-Control": "public, immutable", "Expires": formatdate(started + _YEAR)}
        return part.respond(request, Vary="Accept", **forever)

    return router.routes


def read_documents(version: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the OpenAPI v2 document, and those of v3 by name; `version` is our own."""
    folder = files("metricsapi.api")
    v2: dict[str, Any] = msgspec.json.decode(folder.joinpath("openapi_v2.json").read_bytes())
    v3: dict[str, Any] = msgspec.json.decode(folder.joinpath("openapi_v3.json").read_bytes())
    for document in (v2, *v3.values()):
        document["info"]["version"] = f"v{version}"
    return v2, v3


class _Document:
    """A document as it is sent, with its ETag."""

    def __init__(self, content: dict[str, Any], started: float) -> None:
        self.body = msgspec.json.encode(content)
        self.hash = hashlib.sha512(self.body).hexdigest().upper()
        self._started = int(started)

    def respond(self, request: Request, **headers: str) -> Response:
        """Return the document, 304 when the client has it, or 406."""
        if not _accepts_json(accept_of(request.scope)):
            return Response(status_code=406, headers={"Cache-Control": "no-cache, private"})
        described = {
            "Cache-Control": "no-cache, private",
            "Etag": f'"{self.hash}"',
            "Last-Modified": formatdate(self._started, usegmt=True),
            **headers,
        }
        if self._is_known(request):
            return Response(status_code=304, headers=described)
        return Response(self.body, headers={**described, "Content-Type": JSON})

    def _is_known(self, request: Request) -> bool:
        tags = request.headers.get("if-none-match")
        if tags is not None:  # then dates count for nothing (RFC 9110, 13.1.3)
            return tags.strip() == "*" or f'"{self.hash}"' in tags
        since = http_date(request.headers.get("if-modified-since", ""))
        return since is not None and since >= self._started


def http_date(text: str) -> float | None:
    """Return an HTTP date in epoch seconds; None for what is no date, or none that can be counted.

    RFC 9110, 13.1.3: a recipient ignores a date that it cannot read.
    """
    try:
        when = parsedate_to_datetime(text)
        return when.timestamp() if when.tzinfo is not None else None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _accepts_json(accept: str) -> bool:
    fits = (("application", "json"), ("application", "*"), ("*", "*"))
    return not accept or any(
        (clause.type, clause.subtype) in fits for clause in parse_accept(accept)
    )
