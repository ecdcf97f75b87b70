"""Lists and watches, decoded: bytes in, values out, no I/O.

A `Resource` says where objects of one kind are, which part of each is decoded, and what is kept
of it. Unknown fields are skipped by msgspec at almost no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct

from metricsapi.kube.decoding import UNDECODABLE, decode_json
from metricsapi.kube.errors import ApiError, Gone, InvalidResponse, error_from_response
from metricsapi.kube.quantity import parse_quantity
from metricsapi.kube.resources import Address, Capacity, Node, Pod

T = TypeVar("T")

# kube-apiserver ends a watch asked for as a list at its first event, and refuses a list asked for
# as one object, each without looking at what else would be accepted.
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"


# What a mirror pod has: the kubelet's uid of the static pod is in the second one.
_CONFIG_MIRROR = "kubernetes.io/config.mirror"
_CONFIG_HASH = "kubernetes.io/config.hash"


class Metadata(Struct, gc=False, rename="camel"):
    """The part of ObjectMeta that we read."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    resource_version: str = ""


class _ListMeta(Struct, gc=False, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _List(Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Event(Struct):
    type: str
    object: msgspec.Raw


class _OnlyMetadata(Struct):
    metadata: Metadata


class _OnlyVersion(Struct):
    class _Version(Struct, rename="camel"):
        resource_version: str = ""

    metadata: _Version | None = None


@dataclass(frozen=True)
class Resource(Generic[T]):
    """Objects of one kind: `path` and `params` of their list, `decode` for one object's JSON.

    `decode` gives None for an object that cannot be used, and never raises; `key` is an object's
    identity.
    """

    name: str
    path: str
    decode: Callable[[bytes | msgspec.Raw], T | None]
    key: Callable[[T], Hashable]
    params: dict[str, str] = field(default_factory=dict)
    accept_list: str = "application/json"
    accept_watch: str = "application/json"


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list."""

    items: list[T]
    resource_version: str
    next: str  # the continue token; empty on the last page
    skipped: int = 0  # objects that cannot be used


@dataclass(frozen=True)
class Event(Generic[T]):
    """One line of a watch.

    A BOOKMARK has no object, only a version to resume from. An event of another type without an
    object is of one that cannot be used.
    """

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: T | None
    resource_version: str


def decode_page(resource: Resource[T], body: bytes) -> Page[T]:
    """Decode one page. Raises InvalidResponse when it is not a list of objects."""
    page: _List = decode_json(body, _List, f"the list of {resource.name}")
    decoded = [resource.decode(item) for item in page.items or ()]
    items = [item for item in decoded if item is not None]
    skipped = len(decoded) - len(items)
    return Page(items, page.metadata.resource_version, page.metadata.continue_, skipped)


def decode_event(resource: Resource[T], line: bytes) -> Event[T]:
    """Decode one line of a watch.

    Raises Gone when the version has expired, ApiError for any other ERROR event, InvalidResponse
    when the line is no event.
    """
    what = f"a watch event of {resource.name}"
    event: _Event = decode_json(line, _Event, what)
    if event.type == "ERROR":
        raise _watch_error(bytes(event.object))
    if event.type not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
        raise InvalidResponse(f"{what} has the unknown type {event.type[:40]!r}")
    kind: Any = event.type
    version = _resource_version(event.object)
    return Event(kind, None if kind == "BOOKMARK" else resource.decode(event.object), version)


def _resource_version(body: msgspec.Raw) -> str:
    """Give an object's resource version; empty when it has none that can be read."""
    try:
        metadata = msgspec.json.decode(body, type=_OnlyVersion).metadata
    except UNDECODABLE:
        return ""
    return metadata.resource_version if metadata else ""


def _watch_error(body: bytes) -> ApiError:
    try:
        code = msgspec.json.decode(body, type=dict[str, Any]).get("code")
    except UNDECODABLE:
        code = None
    code = code if isinstance(code, int) else 500
    error = error_from_response(code, body)
    if error.reason == "Expired":
        return Gone(410, error.reason, error.message)
    return error


class _Condition(Struct, gc=False):
    type: str = ""
    status: str = ""


class _Endpoint(Struct, gc=False):
    port: int | None = msgspec.field(default=None, name="Port")


class _DaemonEndpoints(Struct, gc=False, rename="camel"):
    kubelet_endpoint: _Endpoint | None = None


class _Amounts(Struct, gc=False):
    cpu: str = ""
    memory: str = ""
    pods: str = ""
    ephemeral_storage: str = msgspec.field(default="", name="ephemeral-storage")


class _Swap(Struct, gc=False):
    capacity: int | None = None


class _NodeInfo(Struct, gc=False):
    swap: _Swap | None = None


class _NodeStatus(Struct, gc=False, rename="camel"):
    addresses: tuple[Address, ...] | None = None
    conditions: tuple[_Condition, ...] | None = None
    daemon_endpoints: _DaemonEndpoints | None = None
    allocatable: _Amounts | None = None
    capacity: _Amounts | None = None
    node_info: _NodeInfo | None = None


class _WireNode(Struct, gc=False):
    metadata: Metadata
    status: _NodeStatus | None = None


def decode_node(body: bytes | msgspec.Raw) -> Node | None:
    """Give what we use of a v1 Node; None when it has no name or cannot be decoded."""
    try:
        wire = msgspec.json.decode(body, type=_WireNode)
    except UNDECODABLE:
        return None
    if not wire.metadata.name:
        return None
    status = wire.status or _NodeStatus()
    daemon = status.daemon_endpoints
    endpoint = daemon.kubelet_endpoint if daemon else None
    amounts = status.allocatable or _Amounts()
    ready = any(c.type == "Ready" and c.status == "True" for c in status.conditions or ())
    return Node(
        name=wire.metadata.name,
        labels=wire.metadata.labels or {},
        annotations=wire.metadata.annotations or {},
        addresses=status.addresses or (),
        kubelet_port=_port(endpoint.port) if endpoint else None,
        ready=ready,
        cpu=parse_quantity(amounts.cpu, 10**9),
        memory=parse_quantity(amounts.memory),
        capacity=_capacity(status),
    )


def _capacity(status: _NodeStatus) -> Capacity:
    amounts = status.capacity or _Amounts()
    swap = status.node_info.swap if status.node_info else None
    return Capacity(
        parse_quantity(amounts.cpu, 10**9),
        parse_quantity(amounts.memory),
        swap.capacity if swap else None,
        parse_quantity(amounts.ephemeral_storage),
        parse_quantity(amounts.pods),
    )


def _port(number: int | None) -> int | None:
    return number if number is not None and 0 < number < 65536 else None


def decode_pod(body: bytes | msgspec.Raw) -> Pod | None:
    """Give what we use of a pod's PartialObjectMetadata; None when it has no name or namespace."""
    try:
        metadata = msgspec.json.decode(body, type=_OnlyMetadata).metadata
    except UNDECODABLE:
        return None
    if not metadata.name or not metadata.namespace:
        return None
    annotations = metadata.annotations or {}
    static = annotations.get(_CONFIG_HASH, "") if _CONFIG_MIRROR in annotations else ""
    return Pod(metadata.namespace, metadata.name, metadata.labels or {}, metadata.uid, static)


NODES = Resource("nodes", "/api/v1/nodes", decode_node, lambda node: node.key)
RUNNING_PODS = Resource(
    "pods",
    "/api/v1/pods",
    decode_pod,
    lambda pod: pod.key,
    params={"fieldSelector": "status.phase=Running"},
    accept_list=METADATA_LIST,
    accept_watch=METADATA,
)


class _ConfigMap(Struct):
    data: dict[str, str] | None = None


def _configmap_data(body: bytes | msgspec.Raw) -> dict[str, str] | None:
    try:
        return msgspec.json.decode(body, type=_ConfigMap).data or {}
    except UNDECODABLE:
        return None


def configmap(namespace: str, name: str) -> Resource[dict[str, str]]:
    """Give the resource of one ConfigMap: an informer of it holds its `data` under `name`."""
    return Resource(
        f"configmap {namespace}/{name}",
        f"/api/v1/namespaces/{namespace}/configmaps",
        _configmap_data,
        lambda _: name,
        params={"fieldSelector": f"metadata.name={name}"},
    )
