"""Discovery: what the group and its versions are, in the old way and the aggregated one.

It depends on nothing that is collected, so it answers from the first moment: a missing answer
makes the APIService unavailable, and that stops the deletion of namespaces in the whole cluster.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from metricsapi.api.render import frame
from metricsapi.api.render.negotiation import DISCOVERY_GROUP, PROTOBUF, MediaType
from metricsapi.api.render.protobuf import message, number, object_meta, string, strings, whole
from metricsapi.api.resource import GROUP, VERSIONS, Resource
from metricsapi.api.status import Headers, Send
from metricsapi.api.streaming import send_framed

VERBS = ["get", "list"]


def _versions() -> list[dict[str, str]]:
    return [{"groupVersion": f"{GROUP}/{one}", "version": one} for one in VERSIONS]


def group() -> dict[str, Any]:
    """Give the `APIGroup` without kind and version, as it stands in a list."""
    return {"name": GROUP, "versions": _versions(), "preferredVersion": _versions()[0]}


def group_list(address: str) -> dict[str, Any]:
    """Give the `APIGroupList`; `address` is where this server is reached."""
    reached = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    groups = [{**group(), "serverAddressByClientCIDRs": reached}]
    return {"kind": "APIGroupList", "groups": groups}


def resource_list(resources: list[Resource], version: str) -> dict[str, Any]:
    """Give the `APIResourceList` of a version."""
    listed = [
        {
            "name": one.name,
            "singularName": "",
            "namespaced": one.namespaced,
            "kind": one.kind,
            "verbs": VERBS,
        }
        for one in resources
    ]
    head = {"kind": "APIResourceList", "apiVersion": "v1"}
    return {**head, "groupVersion": f"{GROUP}/{version}", "resources": listed}


def aggregated(resources: list[Resource], version: str) -> dict[str, Any]:
    """Give the `APIGroupDiscoveryList`; `version` is that of apidiscovery.k8s.io."""
    listed = [
        {
            "resource": one.name,
            "responseKind": {"group": "", "version": "", "kind": one.kind},
            "scope": "Namespaced" if one.namespaced else "Cluster",
            "singularResource": "",
            "verbs": VERBS,
        }
        for one in resources
    ]
    versions = [{"version": one, "resources": listed, "freshness": "Current"} for one in VERSIONS]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"{DISCOVERY_GROUP}/{version}",
        "metadata": {},
        "items": [{"metadata": {"name": GROUP, "creationTimestamp": None}, "versions": versions}],
    }


def _group_protobuf(one: dict[str, Any]) -> bytes:
    def version(field: int, content: dict[str, str]) -> bytes:
        return message(field, string(1, content["groupVersion"]) + string(2, content["version"]))

    reached = [
        message(4, string(1, where["clientCIDR"]) + string(2, where["serverAddress"]))
        for where in one.get("serverAddressByClientCIDRs", ())
    ]
    versions = [version(2, content) for content in one["versions"]]
    preferred = version(3, one["preferredVersion"])
    return b"".join((string(1, one["name"]), *versions, preferred, *reached))


def _resource_list_protobuf(document: dict[str, Any]) -> bytes:
    resources = [
        message(2, b"".join((
            string(1, one["name"]),
            number(2, one["namespaced"]),
            string(3, one["kind"]),
            message(4, strings(1, one["verbs"])),
            string(6, one["singularName"]),
            b"\x42\x00\x4a\x00\x52\x00",  # group, version, storageVersionHash
        )))
        for one in document["resources"]
    ]  # fmt: skip
    return string(1, document["groupVersion"]) + b"".join(resources)


def _aggregated_protobuf(document: dict[str, Any]) -> bytes:
    def resource(one: dict[str, Any]) -> bytes:
        kind = one["responseKind"]
        kinds = string(1, kind["group"]) + string(2, kind["version"]) + string(3, kind["kind"])
        return b"".join((
            string(1, one["resource"]),
            message(2, kinds),
            string(3, one["scope"]),
            string(4, one["singularResource"]),
            strings(5, one["verbs"]),
        ))  # fmt: skip

    def version(one: dict[str, Any]) -> bytes:
        resources = [message(2, resource(each)) for each in one["resources"]]
        return string(1, one["version"]) + b"".join(resources) + string(3, one["freshness"])

    def item(one: dict[str, Any]) -> bytes:
        versions = [message(2, version(each)) for each in one["versions"]]
        return message(1, object_meta(one["metadata"]["name"])) + b"".join(versions)

    meta = message(1, b"\x0a\x00\x12\x00\x1a\x00")
    return meta + b"".join([message(2, item(one)) for one in document["items"]])


class Documents:
    """Every discovery document, encoded once."""

    def __init__(self, resources: list[Resource], address: str) -> None:
        one = {"kind": "APIGroup", "apiVersion": "v1", **group()}
        everything = group_list(address)
        groups = b"".join([message(1, _group_protobuf(each)) for each in everything["groups"]])
        self._json: dict[str, dict[str, Any]] = {"": one, "/": everything}
        self._protobuf = {
            "": whole("v1", "APIGroup", _group_protobuf(one)),
            "/": whole("v1", "APIGroupList", groups),
        }
        for version in VERSIONS:
            document = resource_list(resources, version)
            raw = _resource_list_protobuf(document)
            self._json[version] = document
            self._protobuf[version] = whole("v1", "APIResourceList", raw)
        self._aggregated: dict[str, tuple[dict[str, Any], bytes, str]] = {}
        for version in ("v2", "v2beta1"):
            document = aggregated(resources, version)
            raw = whole(document["apiVersion"], document["kind"], _aggregated_protobuf(document))
            etag = hashlib.sha512(msgspec.json.encode(document)).hexdigest().upper()
            self._aggregated[version] = document, raw, f'"{etag}"'

    async def send(self, send: Send, name: str, media: MediaType, *, pretty: bool) -> None:
        """Send the list of groups (`/`), the group (empty name) or a version."""
        body = self._body(self._json[name], self._protobuf[name], media, pretty=pretty)
        await send_framed(send, media.type, frame.Frame(body, b"", b""))

    async def send_aggregated(
        self, send: Send, media: MediaType, *, pretty: bool, known: str
    ) -> None:
        """Send aggregated discovery, or 304 when its ETag is among the `known` ones."""
        assert media.convert is not None  # noqa: S101  that is how it was asked for
        convert = media.convert
        document, raw, etag = self._aggregated[convert.version]
        headers: Headers = [
            (b"cache-control", b"public"),
            (b"etag", etag.encode()),
            (b"vary", b"Accept"),
        ]
        if etag in [one.strip() for one in known.split(",")]:
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        body = self._body(document, raw, media, pretty=pretty)
        parameters = f";g={convert.group};v={convert.version};as={convert.kind}"
        headers += [
            (b"content-type", (media.type + parameters).encode()),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _body(
        self, document: dict[str, Any], raw: bytes, media: MediaType, *, pretty: bool
    ) -> bytes:
        if media.type == PROTOBUF:
            return raw
        return frame.whole(frame.style_of(media, pretty=pretty), msgspec.json.encode(document))
