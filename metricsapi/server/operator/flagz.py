"""`/flagz`: the value of every flag, as newer Kubernetes components show it."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from metricsapi.server.operator.routes import NOT_ACCEPTABLE, READ, TEXT_KINDS, wanted_format
from metricsapi.server.operator.status import NAME, WARNING


def flagz_routes(values: Mapping[str, str]) -> list[BaseRoute]:
    """Return the route of `/flagz`; `values` are the texts of all flags by name: no secrets."""
    lines = [f"{name}={value}" for name, value in sorted(values.items())]
    text = "\n".join([f"{NAME} flags", WARNING, "", *lines, ""])
    bodies = {
        "text": text,
        "json": json.dumps({"kind": "Flagz", "component": NAME, "flags": dict(values)}) + "\n",
        "html": '<!doctype html><meta charset="utf-8"><title>flagz</title>'
        '<meta name="color-scheme" content="light dark"><pre>' + html.escape(text) + "</pre>",
    }

    router = APIRouter()

    @router.api_route("/flagz", methods=READ)
    async def flagz(request: Request) -> Response:
        wanted = wanted_format(request)
        if wanted is None:
            return Response(NOT_ACCEPTABLE, 406)
        headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'",
            "Vary": "Accept",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(bodies[wanted], media_type=TEXT_KINDS[wanted], headers=headers)

    return router.routes
