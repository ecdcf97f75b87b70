"""The resources of the stand-in API server: list, get, watch, write, as kubectl requests them."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from metricsapi.tools.sandbox.bodies import body
from metricsapi.tools.sandbox.kinds import KINDS, Kind
from metricsapi.tools.sandbox.outages import Outages
from metricsapi.tools.sandbox.paging import Lists
from metricsapi.tools.sandbox.patching import BadPatch, patched
from metricsapi.tools.sandbox.record import Object, Record
from metricsapi.tools.sandbox.responses import (
    JSON,
    METADATA,
    METADATA_LIST,
    encoded,
    json_response,
    not_found,
    requested_shape,
    status,
    wrong_shape,
)
from metricsapi.tools.sandbox.selecting import BadSelector, selection
from metricsapi.tools.sandbox.state import Cluster, Conflict
from metricsapi.tools.sandbox.tables import included, table
from metricsapi.tools.sandbox.validation import refusal
from metricsapi.tools.sandbox.watching import BOOKMARK_EVERY, Parameters, Watch

_COLLECTION = ["GET", "POST"]
_ITEM = ["GET", "PUT", "PATCH", "DELETE"]
_STATUS = ["GET", "PUT", "PATCH"]


class Resources:
    """The handlers over one cluster. `bookmark_every` is in seconds."""

    def __init__(self, cluster: Cluster, outages: Outages) -> None:
        self.cluster = cluster
        self.lists = Lists()
        self.bookmark_every = BOOKMARK_EVERY
        self._outages = outages

    def routes(self) -> list[Route]:
        made = []
        for kind in KINDS:
            where = f"{kind.prefix}/{kind.plural}"
            within = f"{kind.prefix}/namespaces/{{namespace}}/{kind.plural}"
            for path in (where, within) if kind.namespaced else (where,):
                made.append(Route(path, self._collection(kind), methods=_COLLECTION))
                item = f"{path}/{{name}}"
                made.append(Route(item, self._item(kind), methods=_ITEM))
                made.append(Route(f"{item}/status", self._item(kind, "status"), methods=_STATUS))
        return made

    def _collection(self, kind: Kind) -> Any:
        async def handle(request: Request) -> Response:
            namespace = request.path_params.get("namespace")
            if request.method == "POST":
                return await self._create(request, kind, namespace)
            query = request.query_params
            collection = self.cluster.collections[kind.plural]
            try:
                selectors = query.get("labelSelector", ""), query.get("fieldSelector", "")
                wanted = selection(kind, *selectors, namespace)
                parameters = Parameters.of(query, request.headers.get("accept", ""))
            except (BadSelector, ValueError) as error:
                return status(400, str(error))
            if query.get("watch") not in ("true", "1"):
                return self.lists.respond(request, collection, self.cluster.version, wanted)
            watch = Watch(self.cluster, collection, parameters, wanted, self._outages)
            return StreamingResponse(watch.lines(self.bookmark_every), media_type=JSON)

        return handle

    def _item(self, kind: Kind, subresource: str = "") -> Any:
        async def handle(request: Request) -> Response:
            name = request.path_params["name"]
            key = request.path_params.get("namespace", ""), name
            record = self.cluster.collections[kind.plural].records.get(key)
            if record is None:
                return not_found(kind.resource, name)
            if request.method in ("PUT", "PATCH"):
                return await self._change(request, kind, record, subresource)
            if request.method == "DELETE":
                self.cluster.delete(kind.plural, name, record.namespace)
                if kind.plural == "namespaces":
                    self._delete_within(name)
            accept = request.headers.get("accept", "")
            shape = requested_shape(accept)
            if shape == "Table":
                return _row_of(kind, record, request.query_params.get("includeObject", ""))
            if shape == METADATA_LIST:
                return wrong_shape(shape, f"is not a list (*core.{kind.kind})")
            return encoded(record.partial if shape == METADATA else record.json)

        return handle

    def _delete_within(self, namespace: str) -> None:
        """Delete what is in a namespace, as the namespace controller does."""
        for plural, collection in self.cluster.collections.items():
            if collection.kind.namespaced:
                for record in collection.ordered(namespace):
                    self.cluster.delete(plural, record.name, namespace)

    async def _create(self, request: Request, kind: Kind, namespace: str | None) -> Response:
        item = await body(request)
        if isinstance(item, Response):
            return item
        if not isinstance(item, dict):
            return status(400, "the body of the request is no object")
        metadata = item.setdefault("metadata", {})
        if kind.namespaced:
            if namespace is None:
                return status(
                    405, "the server does not allow this method on the requested resource"
                )
            metadata["namespace"] = namespace
        name = metadata.get("name", "")
        if self.cluster.get(kind.plural, name, metadata.get("namespace", "")):
            details = {"name": name, "group": kind.group, "kind": kind.plural}
            message = f'{kind.resource} "{name}" already exists'
            return status(409, message, "AlreadyExists", details=details)
        return self._write(request, kind, item, None, 201)

    async def _change(
        self, request: Request, kind: Kind, record: Record, subresource: str
    ) -> Response:
        """Replace or patch an object, or of it only what a subresource is about."""
        change = await body(request)
        if isinstance(change, Response):
            return change
        old = record.object()
        if request.method == "PATCH":
            try:
                new = patched(request.headers.get("content-type", ""), old, change)
            except BadPatch as error:
                return status(422, str(error))
            except KeyError as error:
                return status(415, f"the body of the request was in an unknown format: {error}")
        else:
            new = change
        if subresource:
            version = new.get("metadata", {}).get("resourceVersion")
            new = {**old, subresource: new.get(subresource)}
            new["metadata"]["resourceVersion"] = version or str(record.version)
        elif "status" in old:
            new["status"] = old["status"]
        metadata = new.setdefault("metadata", {})
        if metadata.setdefault("name", record.name) != record.name:
            message = f"the name of the object ({metadata['name']}) does not match the name on the"
            return status(400, f"{message} URL ({record.name})")
        if record.namespace:
            metadata["namespace"] = record.namespace
        return self._write(request, kind, new, old, 200)

    def _write(
        self, request: Request, kind: Kind, item: Object, old: Object | None, code: int
    ) -> Response:
        if refused := refusal(kind, item, old):
            return refused
        if request.query_params.get("dryRun"):
            return json_response(item, code)
        if old is None:
            item.get("metadata", {}).pop("uid", None)  # which no client decides
        try:
            return json_response(self.cluster.apply(kind.plural, item), code)
        except Conflict:
            name = item["metadata"]["name"]
            details = {"name": name, "group": kind.group, "kind": kind.plural}
            message = (
                f'Operation cannot be fulfilled on {kind.resource} "{name}": the object has been '
                "modified; please apply your changes to the latest version and try again"
            )
            return status(409, message, details=details)


def _row_of(kind: Kind, record: Record, include: str) -> Response:
    """Return the response with one object as a Table."""
    try:
        metadata = {"resourceVersion": str(record.version)}
        return encoded(table(kind.plural, [record], metadata, included(include)))
    except ValueError as error:
        return status(400, str(error))
