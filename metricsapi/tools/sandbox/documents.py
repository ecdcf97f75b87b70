"""Discovery and OpenAPI of aggregated servers, read for all clients, as kube-apiserver does.

Each document is requested again, with its ETag, when it is older than a minute, and at once when
its server or its APIService has changed.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from metricsapi.tools.sandbox.aggregator import KUBE_AGGREGATOR, Aggregator, available
from metricsapi.tools.sandbox.backends import NoEndpoints
from metricsapi.tools.sandbox.rbac import User
from metricsapi.tools.sandbox.record import Object

FRESH = 60.0  # seconds
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
_JSON = "application/json"
_LEGACY = User(KUBE_AGGREGATOR.name)
READER = User("system:aggregator")


@dataclass
class _Document:
    """One server's document, and which server it came from."""

    server: Any
    etag: str
    content: Any
    read_at: float


class Documents:
    """The documents of aggregated servers, by APIService."""

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator
        self._known: dict[tuple[str, str], _Document] = {}

    async def discovery(self, item: Object) -> list[Object] | None:
        """Return the resources of an APIService's version as aggregated discovery has them.

        None while they are not known. Of a server without aggregated discovery
        the legacy documents are read.
        """
        accept = ",".join(DISCOVERY.format(version) for version in ("v2", "v2beta1"))
        whole = await self._read(item, "/apis", accept, KUBE_AGGREGATOR)
        spec = item["spec"]
        if whole and whole.get("kind") == "APIGroupDiscoveryList":
            return next(
                (
                    version.get("resources", [])
                    for group in whole.get("items", ())
                    if group["metadata"]["name"] == spec["group"]
                    for version in group["versions"]
                    if version["version"] == spec["version"]
                ),
                None,
            )
        path = f"/apis/{spec['group']}/{spec['version']}"
        etag = self._known[_name(item), "/apis"].etag if whole else ""
        listed = await self._read(item, path, _JSON, _LEGACY, etag)
        return [_modern(resource) for resource in listed["resources"]] if listed else None

    async def openapi_v2(self, item: Object) -> Object:
        """Return its server's OpenAPI v2 document, empty when there is none."""
        return await self._read(item, "/openapi/v2", _JSON, READER) or {}

    async def openapi_v3(self, item: Object) -> Object:
        """Return the paths of its server's OpenAPI v3 documents."""
        paths: Object = (await self._read(item, "/openapi/v3", "", READER) or {}).get("paths", {})
        return paths

    async def _read(self, item: Object, path: str, accept: str, user: User, etag: str = "") -> Any:
        """Return a document, from memory while it is fresh; None when it cannot be read."""
        if not available(item):
            return None
        key = (_name(item), path)
        server = (item["spec"], [*self._aggregator.endpoints.items()])
        document = self._known.get(key)
        if document and document.server == server and time.monotonic() - document.read_at < FRESH:
            return document.content
        known = etag or (document.etag if document else "")
        kept = [("Accept", accept)] if accept else []
        kept += [("If-None-Match", known)] if known and path != "/openapi/v3" else []
        with contextlib.suppress(NoEndpoints, httpx.HTTPError, ssl.SSLError, msgspec.DecodeError):
            response = await self._aggregator.send(item, "GET", path, user=user, kept=kept)
            body = await response.aread()
            if response.status_code == 200:
                content = msgspec.json.decode(body)
            elif response.status_code == 304 and document:
                content = document.content
            else:
                return None
            tag = response.headers.get("etag", known)
            self._known[key] = _Document(server, tag, content, time.monotonic())
            return content
        return document.content if document else None


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _modern(resource: Object) -> Object:
    """Return an entry of an `APIResourceList` as aggregated discovery has it."""
    return {
        "resource": resource["name"],
        "responseKind": {"group": "", "version": "", "kind": resource["kind"]},
        "scope": "Namespaced" if resource["namespaced"] else "Cluster",
        "singularResource": resource.get("singularName", ""),
        "verbs": resource["verbs"],
    }
