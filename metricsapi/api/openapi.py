"""`/openapi/v2` and `/openapi/v3`: made once, from `schemas`, for kubectl explain and the API
server's aggregators.

The two versions differ in where schemas stand, in how media types are told, and in that v2 knows
no defaults beside references.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from email.utils import formatdate, parsedate_to_datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from metricsapi.api.render.negotiation import AVAILABLE, JSON, PROTOBUF, parse_accept
from metricsapi.api.resource import GROUP, VERSIONS, Resource
from metricsapi.api.schemas import INFO, META, QUANTITY, Schema, all_schemas, metrics

TITLE = "Kubernetes metrics-server"
STREAMED = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
QUERY = {
    "allowWatchBookmarks": "boolean",
    "continue": "string",
    "fieldSelector": "string",
    "labelSelector": "string",
    "limit": "integer",
    "pretty": "string",
    "resourceVersion": "string",
    "resourceVersionMatch": "string",
    "sendInitialEvents": "boolean",
    "timeoutSeconds": "integer",
    "watch": "boolean",
}


class Operation(msgspec.Struct, frozen=True):
    """What GET of one path gives; the only operation there is."""

    path: str
    tag: str
    id: str
    schema: str
    types: tuple[str, ...] = AVAILABLE
    action: str = ""  # get or list, of a resource of ours
    kind: tuple[str, str] = ("", "")  # version and kind of that resource
    parameters: tuple[str, ...] = ()


def operations(resources: Sequence[Resource]) -> Iterator[Operation]:
    """Give every operation, sorted by path."""
    yield Operation("/apis/", "apis", "getAPIVersions", META + "APIGroupList")
    yield Operation(f"/apis/{GROUP}/", "metrics", "getMetricsAPIGroup", META + "APIGroup")
    for version in VERSIONS:
        tag, name = f"metrics_{version}", f"Metrics{version.capitalize()}"
        root = f"/apis/{GROUP}/{version}/"
        yield Operation(root, tag, f"get{name}APIResources", META + "APIResourceList")
        found = [one for resource in resources for one in _of(resource, version, root, tag, name)]
        yield from sorted(found, key=lambda one: one.path)
    yield Operation("/version/", "version", "getCodeVersion", INFO, (JSON,))


def _of(resource: Resource, version: str, root: str, tag: str, name: str) -> Iterator[Operation]:
    schema, kind = metrics(version) + resource.kind, (version, resource.kind)
    scope = "Namespaced" if resource.namespaced else ""
    where = ("namespace",) if resource.namespaced else ()
    path = root + ("namespaces/{namespace}/" if where else "") + resource.name
    listed = tuple(sorted((*QUERY, *where)))
    types = (*AVAILABLE, *STREAMED)
    many, one = f"list{name}{scope}{resource.kind}", f"read{name}{scope}{resource.kind}"
    yield Operation(path, tag, many, schema + "List", types, "list", kind, listed)
    single = ("name", *where, "pretty")
    yield Operation(path + "/{name}", tag, one, schema, AVAILABLE, "get", kind, single)
    if where:
        many = f"list{name}{resource.kind}ForAllNamespaces"
        path = root + resource.name
        yield Operation(path, tag, many, schema + "List", types, "list", kind, tuple(QUERY))


def _parameter(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give where a parameter stands, and its type."""
    where: dict[str, Any] = {"name": name, "in": "query" if name in QUERY else "path"}
    if name not in QUERY:
        where["required"] = True
    return where, {"type": QUERY.get(name, "string"), "uniqueItems": True}


def _operation(operation: Operation, responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    said = {**more, "tags": [operation.tag], "operationId": operation.id, "responses": responses}
    if operation.action:
        version, kind = operation.kind
        said["x-kubernetes-action"] = operation.action
        gvk = {"group": GROUP, "version": version, "kind": kind}
        said["x-kubernetes-group-version-kind"] = gvk
    return said


def document_v2(version: str, resources: Sequence[Resource]) -> dict[str, Any]:
    """Give the whole OpenAPI v2 document; `version` is our own."""
    paths: dict[str, Any] = {}
    for one in operations(resources):
        reference = {"$ref": f"#/definitions/{one.schema}"}
        answers = {"200": {"description": "OK", "schema": reference}}
        takes = ["*/*"] if one.action else list(one.types)
        said = _operation(one, answers, consumes=takes, produces=list(one.types), schemes=["https"])
        paths[one.path] = {"get": said}
        if one.parameters:
            both = [_parameter(name) for name in one.parameters]
            paths[one.path]["parameters"] = [{**kind, **where} for where, kind in both]
    definitions = {name: _v2(schema) for name, schema in all_schemas().items()}
    definitions[QUANTITY] = {**definitions[QUANTITY], "type": "string"}
    definitions[QUANTITY].pop("oneOf")
    return {"swagger": "2.0", **_head(version), "paths": paths, "definitions": definitions}


def documents_v3(version: str, resources: Sequence[Resource]) -> dict[str, dict[str, Any]]:
    """Give the OpenAPI v3 documents by name: `apis`, `apis/metrics.k8s.io/v1`, ..."""
    schemas = all_schemas()
    documents: dict[str, dict[str, Any]] = {}
    for one in operations(resources):
        # A path belongs to the document of its group and version, or of what there is of them.
        parts = one.path.strip("/").split("/")[:3]
        document = documents.setdefault(
            "/".join(parts), {"openapi": "3.0.0", **_head(version), "paths": {}, "components": {}}
        )
        reference = {"schema": {"$ref": f"#/components/schemas/{one.schema}"}}
        content = {"content": dict.fromkeys(sorted(one.types), reference)}
        answers = {"200": {"description": "OK", **content}}
        document["paths"][one.path] = {"get": _operation(one, answers)}
        if one.parameters:
            both = [_parameter(name) for name in one.parameters]
            parameters = [{**where, "schema": kind} for where, kind in both]
            document["paths"][one.path]["parameters"] = parameters
        used = document["components"].setdefault("schemas", {})
        for name in _needed(one.schema, schemas):
            used[name] = _v3(schemas[name])
    for document in documents.values():
        document["components"]["schemas"] = dict(sorted(document["components"]["schemas"].items()))
    return documents


def _head(version: str) -> dict[str, Any]:
    return {"info": {"title": TITLE, "version": f"v{version}"}}


def _needed(name: str, schemas: dict[str, Schema]) -> set[str]:
    """Give a schema's name and those of all that it refers to."""
    found, left = set(), [name]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += _references(schemas[one])
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("ref"), str):
            yield schema["ref"]
        for value in schema.values():
            yield from _references(value)


def _v2(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    if "ref" in schema:
        said = {"description": schema["description"]} if "description" in schema else {}
        return {**said, "$ref": f"#/definitions/{schema['ref']}"}
    return {key: _v2(value) for key, value in schema.items() if key != "default"}


def _v3(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    if "ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "ref"}
        reference = {"$ref": f"#/components/schemas/{schema['ref']}"}
        return {**rest, "allOf": [reference]}
    return {key: _v3(value) for key, value in schema.items()}


class _Document:
    """One document as it is sent, with its ETag."""

    def __init__(self, content: dict[str, Any], made_at: float) -> None:
        self.body = msgspec.json.encode(content)
        self.hash = hashlib.sha512(self.body).hexdigest().upper()
        self.made_at = int(made_at)

    def answer(self, request: Request, **headers: str) -> Response:
        """Give the document, or 304 when the client has it."""
        if not _takes_json(request.headers.get("accept", "")):
            return Response(status_code=406, headers={"Cache-Control": "no-cache, private"})
        found = {
            "Cache-Control": "no-cache, private",
            "Etag": f'"{self.hash}"',
            "Last-Modified": formatdate(self.made_at, usegmt=True),
            **headers,
        }
        if self._is_known(request):
            return Response(status_code=304, headers=found)
        return Response(self.body, headers={**found, "Content-Type": JSON})

    def _is_known(self, request: Request) -> bool:
        tags = request.headers.get("if-none-match")
        if tags is not None:  # then dates count for nothing (RFC 9110, 13.1.3)
            known = [one.strip().removeprefix("W/") for one in tags.split(",")]
            return "*" in known or f'"{self.hash}"' in known
        try:
            since = parsedate_to_datetime(request.headers.get("if-modified-since", ""))
        except ValueError:
            return False
        return since.tzinfo is not None and since.timestamp() >= self.made_at


def _takes_json(accept: str) -> bool:
    fits = (("application", "json"), ("application", "*"), ("*", "*"))
    return not accept or any((one.type, one.subtype) in fits for one in parse_accept(accept))


def openapi_routes(version: str, resources: Sequence[Resource], *, made_at: float) -> list[Route]:
    """Give the routes; `made_at` is when this process began (epoch seconds)."""
    whole = _Document(document_v2(version, resources), made_at)
    parts = {
        name: _Document(content, made_at)
        for name, content in documents_v3(version, resources).items()
    }
    urls = {name: f"/openapi/v3/{name}?hash={part.hash}" for name, part in parts.items()}
    index = _Document(
        {"paths": {name: {"serverRelativeURL": url} for name, url in urls.items()}}, made_at
    )

    async def v2(request: Request) -> Response:
        return whole.answer(request, Vary="Accept")

    async def v3(request: Request) -> Response:
        return index.answer(request)

    async def v3_part(request: Request) -> Response:
        name = request.path_params["name"]
        part = parts.get(name)
        if part is None:
            text = {
                "Content-Type": "text/plain; charset=utf-8",
                "X-Content-Type-Options": "nosniff",
            }
            return Response("404 page not found\n", 404, text)
        asked = request.query_params.get("hash")
        if asked is None:
            return part.answer(request, Vary="Accept")
        if asked != part.hash:
            return RedirectResponse(urls[name], 301)
        # What an address with a hash gives never changes.
        forever = {"Cache-Control": "public, immutable", "Expires": formatdate(made_at + 31536000)}
        return part.answer(request, Vary="Accept", **forever)

    return [
        Route("/openapi/v2", v2),
        Route("/openapi/v3", v3),
        Route("/openapi/v3/{name:path}", v3_part),
    ]
