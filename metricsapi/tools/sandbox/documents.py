"""What kube-apiserver reads of aggregated servers for everybody: discovery and OpenAPI.

Each document is asked for again, with its ETag, when it is older than a minute, and at once when
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

from metricsapi.tools.sandbox.aggregator import Aggregator, available
from metricsapi.tools.sandbox.backends import NoEndpoints
from metricsapi.tools.sandbox.rbac import MASTERS, User
from metricsapi.tools.sandbox.record import Object

FRESH = 60.0  # seconds
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
_JSON = "application/json"
_MASTER = User("system:kube-aggregator", (MASTERS,))
_LEGACY = User("system:kube-aggregator")
READER = User("system:aggregator")


@dataclass
class _Held:
    """One server's answer, and which server it was."""

    server: Any
    etag: str
    content: Any
    read_at: float


class Documents:
    """The documents of aggregated servers, by APIService."""

    def __init__(self, aggregator: Aggregator) -> None:
        self._aggregator = aggregator
        self._held: dict[tuple[str, str], _Held] = {}

    async def discovery(self, item: Object) -> list[Object] | None:
        """Give the resources of an APIService's version as aggregated discovery has them.

        None while they are not known. A server without aggregated discovery is asked in the old
        way.
        """
        accept = ",".join(DISCOVERY.format(version) for version in ("v2", "v2beta1"))
        whole = await self._read(item, "/apis", accept, _MASTER)
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
        etag = self._held[_name(item), "/apis"].etag if whole else ""
        listed = await self._read(item, path, _JSON, _LEGACY, etag)
        return [_modern(one) for one in listed["resources"]] if listed else None

    async def openapi_v2(self, item: Object) -> Object:
        """Give its server's OpenAPI v2 document, empty when there is none."""
        return await self._read(item, "/openapi/v2", _JSON, READER) or {}

    async def openapi_v3(self, item: Object) -> Object:
        """Give the paths of its server's OpenAPI v3 documents."""
        found: Object = (await self._read(item, "/openapi/v3", "", READER) or {}).get("paths", {})
        return found

    async def _read(self, item: Object, path: str, accept: str, user: User, etag: str = "") -> Any:
        """Give a document, from memory while it is fresh; None when it cannot be read."""
        if not available(item):
            return None
        key = (_name(item), path)
        server = (item["spec"], [*self._aggregator.endpoints.items()])
        held = self._held.get(key)
        if held and held.server == server and time.monotonic() - held.read_at < FRESH:
            return held.content
        known = etag or (held.etag if held else "")
        kept = [("Accept", accept)] if accept else []
        kept += [("If-None-Match", known)] if known and path != "/openapi/v3" else []
        with contextlib.suppress(NoEndpoints, httpx.HTTPError, ssl.SSLError, msgspec.DecodeError):
            answer = await self._aggregator.send(item, "GET", path, user=user, kept=kept)
            body = await answer.aread()
            if answer.status_code == 200:
                content = msgspec.json.decode(body)
            elif answer.status_code == 304 and held:
                content = held.content
            else:
                return None
            told = answer.headers.get("etag", known)
            self._held[key] = _Held(server, told, content, time.monotonic())
            return content
        return held.content if held else None


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _modern(one: Object) -> Object:
    """Give an entry of an `APIResourceList` as aggregated discovery has it."""
    return {
        "resource": one["name"],
        "responseKind": {"group": "", "version": "", "kind": one["kind"]},
        "scope": "Namespaced" if one["namespaced"] else "Cluster",
        "singularResource": one.get("singularName", ""),
        "verbs": one["verbs"],
    }
