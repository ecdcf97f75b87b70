"""Lists and watches, decoded: bytes in, values out, no I/O.

A `Resource` says where objects of one kind are, which part of each is decoded, and what is kept
of it. Unknown fields are skipped by msgspec at almost no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct

from metricsapi.kube.decoding import decode_json
from metricsapi.kube.errors import UNDECODABLE, ApiError, Gone, InvalidResponse, error_from_response
from metricsapi.kube.nodes import WireNode, read_node
from metricsapi.kube.pods import WirePod, completed_pod, decode_pod_row, read_pod

T = TypeVar("T")
W = TypeVar("W")

# kube-apiserver ends a watch asked for as a list at its first event, and refuses a list asked for
# as one object, each without looking at what else would be accepted.
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
# A Table whose rows have, by default, the metadata of their objects. Every kube-apiserver since
# 1.15 makes them. METADATA is accepted after it, for API servers of another make.
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


class _ListMeta(Struct, gc=False, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _List(Struct, Generic[W]):
    metadata: _ListMeta
    items: list[W] | None = None


class _Event(Struct):
    type: str
    object: msgspec.Raw


class _Column(Struct):
    name: str


class _EventObject(Struct, rename="camel"):
    """What is read of the object of any event; only a Table has rows, and no more than one."""

    class _Version(Struct, rename="camel"):
        resource_version: str = ""

    metadata: _Version | None = None
    rows: list[msgspec.Raw] | None = None
    column_definitions: list[_Column] | None = None


@dataclass(frozen=True)
class Resource(Generic[T]):
    """Objects of one kind: `path` and `params` of their list.

    `wire` is the type as which the JSON of an object is decoded, and `read` makes of that what is
    kept: None for an object that cannot be used. It may raise as a decoder does. `key` is an
    object's identity. Where `accept_watch` asks for Tables, `decode_row` decodes a row, given the
    names of its columns, and never raises; `completed` gives an object of a list, which says less
    than a row, with what was known of it before.
    """

    name: str
    path: str
    wire: type[Any]
    read: Callable[[Any], T | None]
    key: Callable[[T], Hashable]
    params: dict[str, str] = field(default_factory=dict)
    accept_list: str = "application/json"
    accept_watch: str = "application/json"
    decode_row: Callable[[bytes | msgspec.Raw, Sequence[str]], T | None] | None = None
    completed: Callable[[T, T], T] = lambda new, _before: new

    def decode(self, body: bytes | msgspec.Raw) -> T | None:
        """Return what is kept of one object; None for one that cannot be used or decoded."""
        try:
            return self.read(msgspec.json.decode(body, type=self.wire))
        except UNDECODABLE:
            return None


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
    columns: Sequence[str] = ()  # of the Tables of this watch


def decode_page(resource: Resource[T], body: bytes, *, one_by_one: bool = False) -> Page[T]:
    """Decode one page; `one_by_one` lets other threads run between two objects.

    Raises InvalidResponse when it is not a list of objects.
    """
    page: _List[Any]
    if not one_by_one:
        # In one pass, which costs half as much. It fails for all objects if it does for one:
        # then each is decoded by itself, and only those that cannot be decoded are left out.
        with suppress(*UNDECODABLE):
            page = msgspec.json.decode(body, type=_List[resource.wire])  # type: ignore[name-defined]
            return _page(page, [resource.read(item) for item in page.items or ()])
    page = decode_json(body, _List[msgspec.Raw], f"the list of {resource.name}")
    return _page(page, [resource.decode(item) for item in page.items or ()])


def _page(page: _List[Any], decoded: Sequence[T | None]) -> Page[T]:
    items = [item for item in decoded if item is not None]
    skipped = len(decoded) - len(items)
    return Page(items, page.metadata.resource_version, page.metadata.continue_, skipped)


def decode_event(resource: Resource[T], line: bytes, columns: Sequence[str] = ()) -> Event[T]:
    """Decode one line of a watch.

    Only the first Table of a watch names its columns: `columns` are those of the event before.

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
    seen = _event_object(event.object)
    version = seen.metadata.resource_version if seen.metadata else ""
    columns = [column.name for column in seen.column_definitions or ()] or columns
    if kind == "BOOKMARK":
        return Event(kind, None, version, columns)
    if seen.rows is not None and resource.decode_row is not None:
        item = resource.decode_row(seen.rows[0], columns) if seen.rows else None
    else:
        item = resource.decode(event.object)
    return Event(kind, item, version, columns)


def _event_object(body: msgspec.Raw) -> _EventObject:
    """Return the object of an event; without a version when it has none that can be read."""
    try:
        return msgspec.json.decode(body, type=_EventObject)
    except UNDECODABLE:
        return _EventObject()


def _watch_error(body: bytes) -> ApiError:
    try:
        code = msgspec.json.decode(body, type=dict[str, Any]).get("code")
    except UNDECODABLE:
        code = None
    code = code if type(code) is int else 500
    error = error_from_response(code, body)
    if error.reason == "Expired":
        return Gone(410, error.reason, error.message)
    return error


NODES = Resource("nodes", "/api/v1/nodes", WireNode, read_node, lambda node: node.key)
RUNNING_PODS = Resource(
    "pods",
    "/api/v1/pods",
    WirePod,
    read_pod,
    lambda pod: pod.key,
    params={"fieldSelector": "status.phase=Running"},
    # A list of Tables costs kube-apiserver three times the CPU, and a watch of them less: see
    # docs/scaling.md.
    accept_list=METADATA_LIST,
    accept_watch=f"{TABLE},{METADATA}",
    decode_row=decode_pod_row,
    completed=completed_pod,
)


class _ConfigMap(Struct):
    data: dict[str, str] | None = None


def configmap(namespace: str, name: str) -> Resource[dict[str, str]]:
    """Return the resource of one ConfigMap: an informer of it holds its `data` under `name`."""
    return Resource(
        f"configmap {namespace}/{name}",
        f"/api/v1/namespaces/{namespace}/configmaps",
        _ConfigMap,
        lambda wire: wire.data or {},
        lambda _: name,
        params={"fieldSelector": f"metadata.name={name}"},
    )
