"""Discovery: the group, its versions and resources, as single documents and aggregated.

It needs no scraped data, so it is served from the start: without it the APIService is unavailable,
and that stops the deletion of namespaces in the whole cluster.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from metricsapi.api.render import frame
from metricsapi.api.render.negotiation import DISCOVERY_GROUP, PROTOBUF, MediaType
from metricsapi.api.render.protobuf import message, number, object_meta, string, strings, whole
from metricsapi.api.resources import GROUP, VERSIONS, Resource
from metricsapi.api.status import Headers

VERBS = ["get", "list"]


def _versions() -> list[dict[str, str]]:
    return [{"groupVersion": f"{GROUP}/{version}", "version": version} for version in VERSIONS]


def group() -> dict[str, Any]:
    """Return the `APIGroup` without kind and version, as it stands in a list."""
    return {"name": GROUP, "versions": _versions(), "preferredVersion": _versions()[0]}


def group_list(address: str) -> dict[str, Any]:
    """Return the `APIGroupList`; `address` is where this server is reached."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    groups = [{**group(), "serverAddressByClientCIDRs": addresses}]
    return {"kind": "APIGroupList", "groups": groups}


def resource_list(resources: list[Resource], version: str) -> dict[str, Any]:
    """Return the `APIResourceList` of a version."""
    listed = [
        {
            "name": resource.name,
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": VERBS,
        }
        for resource in resources
    ]
    head = {"kind": "APIResourceList", "apiVersion": "v1"}
    return {**head, "groupVersion": f"{GROUP}/{version}", "resources": listed}


def group_discovery_list(resources: list[Resource], version: str) -> dict[str, Any]:
    """Return the `APIGroupDiscoveryList`; `version` is that of apidiscovery.k8s.io."""
    listed = [
        {
            "resource": resource.name,
            "responseKind": {"group": "", "version": "", "kind": resource.kind},
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "singularResource": "",
            "verbs": VERBS,
        }
        for resource in resources
    ]
    versions = [{"version": name, "resources": listed, "freshness": "Current"} for name in VERSIONS]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"{DISCOVERY_GROUP}/{version}",
        "metadata": {},
        "items": [{"metadata": {"name": GROUP, "creationTimestamp": None}, "versions": versions}],
    }


def _group_protobuf(document: dict[str, Any]) -> bytes:
    def version(field: int, content: dict[str, str]) -> bytes:
        return message(field, string(1, content["groupVersion"]) + string(2, content["version"]))

    addresses = [
        message(4, string(1, address["clientCIDR"]) + string(2, address["serverAddress"]))
        for address in document.get("serverAddressByClientCIDRs", ())
    ]
    versions = [version(2, content) for content in document["versions"]]
    preferred = version(3, document["preferredVersion"])
    return b"".join((string(1, document["name"]), *versions, preferred, *addresses))


def _resource_list_protobuf(document: dict[str, Any]) -> bytes:
    resources = [
        message(2, b"".join((
            string(1, resource["name"]),
            number(2, resource["namespaced"]),
            string(3, resource["kind"]),
            message(4, strings(1, resource["verbs"])),
            string(6, resource["singularName"]),
            b"\x42\x00\x4a\x00\x52\x00",  # group, version, storageVersionHash
        )))
        for resource in document["resources"]
    ]  # fmt: skip
    return string(1, document["groupVersion"]) + b"".join(resources)


def _group_discovery_list_protobuf(document: dict[str, Any]) -> bytes:
    def resource(content: dict[str, Any]) -> bytes:
        kind = content["responseKind"]
        kinds = string(1, kind["group"]) + string(2, kind["version"]) + string(3, kind["kind"])
        return b"".join((
            string(1, content["resource"]),
            message(2, kinds),
            string(3, content["scope"]),
            string(4, content["singularResource"]),
            strings(5, content["verbs"]),
        ))  # fmt: skip

    def version(content: dict[str, Any]) -> bytes:
        resources = [message(2, resource(each)) for each in content["resources"]]
        return string(1, content["version"]) + b"".join(resources) + string(3, content["freshness"])

    def item(content: dict[str, Any]) -> bytes:
        versions = [message(2, version(each)) for each in content["versions"]]
        return message(1, object_meta(content["metadata"]["name"])) + b"".join(versions)

    meta = message(1, b"\x0a\x00\x12\x00\x1a\x00")
    return meta + b"".join([message(2, item(content)) for content in document["items"]])


class Documents:
    """Every discovery document, encoded once."""

    def __init__(self, resources: list[Resource], address: str) -> None:
        own = {"kind": "APIGroup", "apiVersion": "v1", **group()}
        every = group_list(address)
        groups = b"".join([message(1, _group_protobuf(each)) for each in every["groups"]])
        self._json: dict[str, dict[str, Any]] = {"": own, "/": every}
        self._protobuf = {
            "": whole("v1", "APIGroup", _group_protobuf(own)),
            "/": whole("v1", "APIGroupList", groups),
        }
        for version in VERSIONS:
            document = resource_list(resources, version)
            raw = _resource_list_protobuf(document)
            self._json[version] = document
            self._protobuf[version] = whole("v1", "APIResourceList", raw)
        self._aggregated: dict[str, tuple[dict[str, Any], bytes, str]] = {}
        for version in ("v2", "v2beta1"):
            document = group_discovery_list(resources, version)
            content = _group_discovery_list_protobuf(document)
            raw = whole(document["apiVersion"], document["kind"], content)
            etag = hashlib.sha512(msgspec.json.encode(document)).hexdigest().upper()
            self._aggregated[version] = document, raw, f'"{etag}"'

    def body(self, name: str, media: MediaType, *, pretty: bool) -> bytes:
        """Return the list of groups (`/`), the group (empty name) or a version."""
        return _represent(self._json[name], self._protobuf[name], media, pretty=pretty)

    def aggregated(
        self, media: MediaType, *, pretty: bool, known: str
    ) -> tuple[int, Headers, bytes]:
        """Return code, headers and body of aggregated discovery, in the requested version.

        304 when its ETag is among the `known` ones (`If-None-Match`).
        """
        assert media.convert is not None  # noqa: S101  negotiation sets it
        convert = media.convert
        document, raw, etag = self._aggregated[convert.version]
        headers: Headers = [
            (b"cache-control", b"public"),
            (b"etag", etag.encode()),
            (b"vary", b"Accept"),
        ]
        if etag in known:
            return 304, headers, b""
        parameters = f";g={convert.group};v={convert.version};as={convert.kind}"
        headers.append((b"content-type", (media.type + parameters).encode()))
        return 200, headers, _represent(document, raw, media, pretty=pretty)


def _represent(document: dict[str, Any], raw: bytes, media: MediaType, *, pretty: bool) -> bytes:
    if media.type == PROTOBUF:
        return raw
    return frame.whole(frame.style_of(media, pretty=pretty), msgspec.json.encode(document))
