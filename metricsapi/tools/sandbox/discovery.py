"""Discovery of the whole cluster: its own groups and those of aggregated servers.

`/api` and `/apis` are the legacy documents, or an `APIGroupDiscoveryList` where that is requested.
"""

from __future__ import annotations

import hashlib

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from metricsapi.tools.sandbox.aggregator import available
from metricsapi.tools.sandbox.documents import DISCOVERY, Documents
from metricsapi.tools.sandbox.kinds import KINDS, REVIEWS, Kind
from metricsapi.tools.sandbox.record import Object
from metricsapi.tools.sandbox.responses import json_response, status
from metricsapi.tools.sandbox.state import Cluster

VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0+metricsapi-sandbox"}


class Discovery:
    """The handlers over one cluster's APIServices."""

    def __init__(self, cluster: Cluster, documents: Documents) -> None:
        self._cluster = cluster
        self._documents = documents

    def routes(self) -> list[Route]:
        return [
            Route("/version", _version),
            Route("/api", self._core),
            Route("/apis", self._groups),
            Route("/api/v1", self._resources),
            Route("/apis/{group}", self._group),
            Route("/apis/{group}/{version}", self._resources),
        ]

    async def _core(self, request: Request) -> Response:
        if wanted := _aggregated(request):
            return await self._list(request, wanted, core=True)
        return json_response({"kind": "APIVersions", "versions": ["v1"]})

    async def _groups(self, request: Request) -> Response:
        if wanted := _aggregated(request):
            return await self._list(request, wanted, core=False)
        groups = [_group(name, items) for name, items in self._by_group().items() if name]
        return json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})

    async def _group(self, request: Request) -> Response:
        name = request.path_params["group"]
        items = self._by_group().get(name)
        if not items:
            return _unknown()
        return json_response({"kind": "APIGroup", "apiVersion": "v1", **_group(name, items)})

    async def _resources(self, request: Request) -> Response:
        group = request.path_params.get("group", "")
        version = request.path_params.get("version", "v1")
        kinds = [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]
        reviews = [kind for kind in REVIEWS if (kind.group, kind.version) == (group, version)]
        if not kinds and not reviews:
            return _unknown()
        return json_response({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": (kinds or reviews)[0].api_version,
            "resources": [
                *(_resource(kind, VERBS) for kind in kinds),
                *(_resource(kind, ["create"]) for kind in reviews),
            ],
        })  # fmt: skip

    async def _list(self, request: Request, version: str, *, core: bool) -> Response:
        """Return aggregated discovery, or 304 when the client has it."""
        items = []
        for name, services in self._by_group().items():
            if core == (name == ""):
                versions = [await self._version_of(service) for service in services]
                items.append({"metadata": {"name": name}, "versions": versions})
        document = {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": items,
        }
        content = msgspec.json.encode(document)
        etag = f'"{hashlib.sha512(content).hexdigest().upper()}"'
        headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": "public"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        headers["Content-Type"] = DISCOVERY.format(version)
        return Response(content, headers=headers)

    async def _version_of(self, item: Object) -> Object:
        """Return the resources of an APIService, marked stale while its server is unavailable."""
        spec = item["spec"]
        if not spec.get("service"):
            key = (spec.get("group", ""), spec["version"])
            listed = [_modern(each, VERBS) for each in KINDS if (each.group, each.version) == key]
            listed += [
                _modern(each, ["create"]) for each in REVIEWS if (each.group, each.version) == key
            ]
            return {"version": spec["version"], "resources": listed, "freshness": "Current"}
        resources = await self._documents.discovery(item)
        current = resources is not None and available(item)
        return {
            "version": spec["version"],
            **({"resources": resources} if resources else {}),
            "freshness": "Current" if current else "Stale",
        }

    def _by_group(self) -> dict[str, list[Object]]:
        """Return the APIServices by group, both by their priorities."""

        def find() -> dict[str, list[Object]]:
            listed: dict[str, list[Object]] = {}
            for item in self._cluster.list("apiservices"):
                listed.setdefault(item["spec"].get("group", ""), []).append(item)
            for items in listed.values():
                items.sort(key=lambda each: -each["spec"].get("versionPriority", 0))

            def priority(pair: tuple[str, list[Object]]) -> tuple[int, str]:
                least = max(each["spec"].get("groupPriorityMinimum", 0) for each in pair[1])
                return -least, pair[0]

            return dict(sorted(listed.items(), key=priority))

        return self._cluster.derived("groups", ["apiservices"], find)


def _aggregated(request: Request) -> str:
    """Return the first requested version of aggregated discovery, if any."""
    for each in request.headers.get("accept", "").replace(" ", "").split(","):
        for version in ("v2", "v2beta1"):
            if set(each.split(";")) >= set(DISCOVERY.format(version).split(";")):
                return version
    return ""


def _group(name: str, items: list[Object]) -> Object:
    versions = [
        {"groupVersion": f"{name}/{each['spec']['version']}", "version": each["spec"]["version"]}
        for each in items
    ]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _resource(kind: Kind, verbs: list[str]) -> Object:
    return {
        "name": kind.plural,
        "singularName": kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": verbs,
        "shortNames": list(kind.short),
        "categories": list(kind.categories),
    }


def _modern(kind: Kind, verbs: list[str]) -> Object:
    return {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.kind.lower(),
        "verbs": verbs,
        **({"shortNames": list(kind.short)} if kind.short else {}),
        **({"categories": list(kind.categories)} if kind.categories else {}),
    }


def _unknown() -> Response:
    return status(404, "the server could not find the requested resource")


async def _version(_: Request) -> Response:
    return json_response(_VERSION)
