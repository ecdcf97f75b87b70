"""`/statusz`: what the server does, for a terminal, a program and a browser.

The format is chosen by `Accept` (text/plain, application/json, text/html) or
`?format=text|json|html`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from metricsapi.server.operator.routes import (
    NOT_ACCEPTABLE,
    READ,
    TEXT_KINDS,
    respond_in_slices,
    wanted_format,
)
from metricsapi.server.operator.status import Status
from metricsapi.server.operator.statusz_json import as_json
from metricsapi.server.operator.statusz_page import CONTENT_SECURITY_POLICY, as_page
from metricsapi.server.operator.statusz_text import as_text

# Each gives a body in small pieces: of thousands of nodes it takes longer to make at once than the
# event loop may be blocked.
WRITERS: dict[str, Callable[[Status], Iterator[str]]] = {
    "text": as_text,
    "json": as_json,
    "html": as_page,
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def statusz_routes(status: Callable[[], Awaitable[Status]]) -> list[BaseRoute]:
    """Return the route of `/statusz`; `status` gives what is to be shown now."""
    router = APIRouter()

    @router.api_route("/statusz", methods=READ)
    async def statusz(request: Request) -> Response:
        wanted = wanted_format(request)
        if wanted is None:
            return Response(NOT_ACCEPTABLE, 406)
        kind = TEXT_KINDS[wanted]
        charset = "" if wanted == "json" else "; charset=utf-8"
        pieces = (piece.encode() for piece in WRITERS[wanted](await status()))
        return await respond_in_slices(pieces, {**_HEADERS, "Content-Type": kind + charset})

    return router.routes
