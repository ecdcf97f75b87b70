"""What the routes of operators have in common."""

from __future__ import annotations

from starlette.requests import Request

from metricsapi.api.asgi import query_of
from metricsapi.api.render.negotiation import choose_format

READ = ["GET", "HEAD"]  # methods of every route
TEXT_KINDS = {"text": "text/plain", "json": "application/json", "html": "text/html"}
NOT_ACCEPTABLE = "available are text/plain, application/json and text/html\n"


def wanted_format(request: Request) -> str | None:
    """Return the key of `TEXT_KINDS` that a caller wants; None if it accepts none of them."""
    return choose_format(query_of(request.scope), request.headers.get("accept", ""), TEXT_KINDS)
