"""`/flagz`: the value of every flag, as newer Kubernetes components show it."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from metricsapi.api.asgi import query_of
from metricsapi.api.render.negotiation import choose_format
from metricsapi.server.operator.statusz import NAME, WARNING

_KINDS = {"text": "text/plain", "json": "application/json", "html": "text/html"}


def flagz_route(values: Mapping[str, str]) -> Route:
    """Route of `/flagz`; `values` are the texts of all flags by name (they hold no secrets)."""
    lines = [f"{name}={value}" for name, value in sorted(values.items())]
    text = "\n".join([f"{NAME} flags", WARNING, "", *lines, ""])
    bodies = {
        "text": text,
        "json": json.dumps({"kind": "Flagz", "component": NAME, "flags": dict(values)}) + "\n",
        "html": '<!doctype html><meta charset="utf-8"><title>flagz</title>'
        '<meta name="color-scheme" content="light dark"><pre>' + html.escape(text) + "</pre>",
    }

    async def endpoint(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        wanted = choose_format(query_of(request.scope), accept, _KINDS)
        if wanted is None:
            return Response("only text/plain, application/json and text/html are here\n", 406)
        headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'",
            "Vary": "Accept",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(bodies[wanted], media_type=_KINDS[wanted], headers=headers)

    return Route("/flagz", endpoint)
