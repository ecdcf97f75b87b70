"""OpenAPI documents: the API server's own, and those of the aggregated servers merged in."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from metricsapi.tools.sandbox.aggregator import Aggregator
from metricsapi.tools.sandbox.documents import READER, Documents
from metricsapi.tools.sandbox.responses import json_response, status
from metricsapi.tools.sandbox.schemas import document, own_paths

_PREFIX = "/openapi/v3"


class OpenApi:
    """`/openapi/v2`, `/openapi/v3` and what the latter names."""

    def __init__(self, aggregator: Aggregator, documents: Documents) -> None:
        self._aggregator = aggregator
        self._documents = documents

    def routes(self) -> list[Route]:
        return [
            Route("/openapi/v2", self._v2),
            Route(_PREFIX, self._v3),
            Route(_PREFIX + "/api/{version}", self._group_version),
            Route(_PREFIX + "/apis/{group}/{version}", self._group_version),
        ]

    async def _v2(self, request: Request) -> Response:
        accept = request.headers.get("accept", "*/*")
        if "json" not in accept and "*/*" not in accept:
            return status(406, "only the following media types are accepted: application/json")
        info = {"title": "Kubernetes", "version": "v1.36.0"}
        merged: dict[str, Any] = {"swagger": "2.0", "info": info, "paths": {}, "definitions": {}}
        for item in self._aggregator.services():
            document = await self._documents.openapi_v2(item)
            for part in ("paths", "definitions"):
                merged[part] |= document.get(part, {})
        return json_response(merged)

    async def _v3(self, _: Request) -> Response:
        """Name each group version's document; a server names what all its versions have."""
        paths = own_paths()
        for item in self._aggregator.services():
            spec = item["spec"]
            own = f"apis/{spec['group']}/{spec['version']}"
            others = await self._documents.openapi_v3(item)
            paths |= {path: entry for path, entry in others.items() if path == own}
        return json_response({"paths": paths})

    async def _group_version(self, request: Request) -> Response:
        """Serve a group version's document; of an aggregated server, as the aggregator reads it."""
        path = request.path_params
        if own := document(path.get("group", ""), path["version"]):
            return json_response(own)
        item = self._aggregator.service_for(request.url.path.removeprefix(_PREFIX))
        if item is None:
            return status(404, "the server could not find the requested resource")
        return await self._aggregator.proxy(request, item, READER, client=False)
