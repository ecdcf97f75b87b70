"""The resources of the stand-in API server: list, get, watch, write, as kubectl asks for them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from metricsapi.sandbox.selecting import by_fields, by_labels
from metricsapi.sandbox.state import KINDS, Cluster, Conflict, Kind
from metricsapi.sandbox.tables import table

Object = dict[str, Any]
BOOKMARK_EVERY = 30.0  # seconds


def status(code: int, reason: str, message: str) -> JSONResponse:
    """Give a Kubernetes `Status` of failure."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return JSONResponse(body, code)


class Resources:
    """The handlers over one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def routes(self) -> list[Route]:
        found = []
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        for kind in KINDS:
            where = f"{kind.prefix}/{kind.plural}"
            within = f"{kind.prefix}/namespaces/{{namespace}}/{kind.plural}"
            for path in (where, within) if kind.namespaced else (where,):
                found.append(Route(path, self._collection(kind), methods=methods))
                found.append(Route(f"{path}/{{name}}", self._item(kind), methods=methods))
        return found

    def _collection(self, kind: Kind) -> Any:
        async def handle(request: Request) -> Response:
            namespace = request.path_params.get("namespace")
            if request.method == "POST":
                return self._write(kind, await request.json(), namespace, 201)
            query = request.query_params
            try:
                labels = by_labels(query.get("labelSelector", ""))
            except ValueError as error:
                return status(400, "BadRequest", str(error))
            fields = by_fields(query.get("fieldSelector", ""))

            def wanted(item: Object) -> bool:
                inside = namespace in (None, item["metadata"].get("namespace"))
                return inside and labels(item) and fields(item)

            if query.get("watch") in ("true", "1"):
                return StreamingResponse(
                    self._watch(request, kind, wanted), media_type="application/json"
                )
            items = [item for item in self.cluster.list(kind.plural, namespace) if wanted(item)]
            return self._page(request, kind, items)

        return handle

    def _page(self, request: Request, kind: Kind, items: list[Object]) -> Response:
        metadata: Object = {"resourceVersion": str(self.cluster.version)}
        start = int(request.query_params.get("continue") or 0)
        limit = int(request.query_params.get("limit") or 0)
        if limit and start + limit < len(items):
            metadata["continue"] = str(start + limit)
            metadata["remainingItemCount"] = len(items) - start - limit
        items = items[start : start + limit] if limit else items
        accept = request.headers.get("accept", "")
        if "as=Table" in accept:
            return JSONResponse(table(kind.plural, items, metadata))
        if "as=PartialObjectMetadata" in accept:
            return JSONResponse(
                {
                    "kind": "PartialObjectMetadataList",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": metadata,
                    "items": [partial(item) for item in items],
                }
            )
        return JSONResponse(
            {
                "kind": f"{kind.kind}List",
                "apiVersion": kind.api_version,
                "metadata": metadata,
                "items": items,
            }
        )

    def _item(self, kind: Kind) -> Any:
        async def handle(request: Request) -> Response:
            name = request.path_params["name"]
            namespace = request.path_params.get("namespace", "")
            if request.method in ("PUT", "PATCH"):
                change = await request.json()
                if request.method == "PATCH":
                    change = merged(self.cluster.get(kind.plural, name, namespace) or {}, change)
                return self._write(kind, change, namespace, 200)
            item = (
                self.cluster.delete(kind.plural, name, namespace)
                if request.method == "DELETE"
                else self.cluster.get(kind.plural, name, namespace)
            )
            if item is None:
                return status(404, "NotFound", f'{kind.plural} "{name}" not found')
            accept = request.headers.get("accept", "")
            if "as=Table" in accept:
                return JSONResponse(table(kind.plural, [item], {}))
            return JSONResponse(partial(item) if "as=PartialObjectMetadata" in accept else item)

        return handle

    def _write(self, kind: Kind, item: Object, namespace: str | None, code: int) -> Response:
        if namespace and kind.namespaced:
            item.setdefault("metadata", {})["namespace"] = namespace
        spec = item.get("spec", {})
        if kind.kind == "APIService" and spec.get("caBundle") and spec.get("insecureSkipTLSVerify"):
            message = "may not be true if caBundle is present"
            return status(422, "Invalid", f"spec.insecureSkipTLSVerify: Invalid value: {message}")
        try:
            return JSONResponse(self.cluster.apply(kind.plural, item), code)
        except Conflict as error:
            return status(409, "Conflict", str(error))

    async def _watch(self, request: Request, kind: Kind, wanted: Any) -> AsyncIterator[bytes]:
        version = int(request.query_params.get("resourceVersion") or self.cluster.version)
        metadata_only = "as=PartialObjectMetadata" in request.headers.get("accept", "")
        seen = {
            (item["metadata"].get("namespace"), item["metadata"]["name"])
            for item in self.cluster.list(kind.plural)
            if wanted(item)
        }
        while not await request.is_disconnected():
            events = self.cluster.events_since(version, kind.plural)
            if events is None:
                gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
                yield _line("ERROR", gone)
                return
            for number, kind_of_event, item in events:
                key = (item["metadata"].get("namespace"), item["metadata"]["name"])
                matches = wanted(item) and kind_of_event != "DELETED"
                if matches or key in seen:
                    word = kind_of_event if matches else "DELETED"
                    yield _line(word, partial(item) if metadata_only else item)
                (seen.add if matches else seen.discard)(key)
                version = number
            if not events:
                bookmark = {"metadata": {"resourceVersion": str(self.cluster.version)}}
                yield _line("BOOKMARK", {"kind": kind.kind, **bookmark})
            await self.cluster.wait_change(BOOKMARK_EVERY)


def partial(item: Object) -> Object:
    """Give the PartialObjectMetadata of an object."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": item["metadata"],
    }


def merged(old: Any, change: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396)."""
    if not isinstance(change, dict):
        return change
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _line(kind: str, item: Object) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"
