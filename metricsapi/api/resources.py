"""The resources of the group: `nodes` (NodeMetrics) and `pods` (PodMetrics)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from metricsapi.api.catalog import Catalog
from metricsapi.api.entries import Entry
from metricsapi.api.index import Objects
from metricsapi.api.render import json, protobuf
from metricsapi.api.status import StatusError
from metricsapi.kube.field_selectors import NAME, NAMESPACE, NODE_NAME
from metricsapi.storage.types import NodeUsage, PodUsage

GROUP = "metrics.k8s.io"
NODES, PODS = "nodes", "pods"  # the names of both resources, as in paths
VERSIONS = ("v1", "v1beta1")  # the preferred one first; their objects are the same


@dataclass(frozen=True)
class Resource:
    """A resource: its names, its objects and how an item of it is encoded."""

    name: str  # plural, as in paths
    kind: str
    singular: str  # what the reference calls an object that it does not know
    namespaced: bool
    fields: tuple[str, ...]  # that a field selector may name
    objects: Objects[Any]
    usages: Callable[[Sequence[Entry], float], Sequence[NodeUsage | PodUsage | None]]
    prepare: Callable[[Iterable[Entry]], Iterator[None]]  # `usages`, which then take no time
    encode_json: Callable[[Any, Any], bytes] = field(repr=False)
    encode_protobuf: Callable[[Any, Any], bytes] = field(repr=False)

    def current(self, entries: Sequence[Entry], now: float) -> list[Entry]:
        """Return those entries that have usage now, with encodings of older usage dropped.

        `now` is in monotonic seconds.
        """
        current = []
        for entry, usage in zip(entries, self.usages(entries, now), strict=True):
            if usage is None:
                continue
            if usage is not entry.usage:
                entry.usage, entry.json, entry.protobuf = usage, None, None
            current.append(entry)
        return current

    def json(self, entry: Entry) -> bytes:
        """Return the JSON item of an entry that has usage."""
        item = entry.json
        if item is None:
            item = entry.json = self.encode_json(entry.object, entry.usage)
        return item

    def protobuf(self, entry: Entry) -> bytes:
        """Return the protobuf item of an entry that has usage."""
        item = entry.protobuf
        if item is None:
            item = entry.protobuf = self.encode_protobuf(entry.object, entry.usage)
        return item

    def jsons(self, entries: Sequence[Entry]) -> list[bytes]:
        """Return the JSON items of entries that have usage."""
        return [entry.json or self.json(entry) for entry in entries]

    def protobufs(self, entries: Sequence[Entry]) -> list[bytes]:
        """Return the protobuf items of entries that have usage."""
        return [entry.protobuf or self.protobuf(entry) for entry in entries]

    def get(self, namespace: str, name: str, now: float) -> Entry:
        """Return the entry of one object; raises StatusError 404 without it or without usage."""
        entry = self.objects.get(namespace, name)
        if entry is None:
            details = {"name": name, "kind": self.singular}
            raise StatusError(404, "NotFound", f'{self.singular} "{name}" not found', details)
        if not self.current([entry], now):
            full = f"{namespace}/{name}" if self.namespaced else name
            text = f'{self.name}.{GROUP} "{full}" not found'
            details = {"name": full, "group": GROUP, "kind": self.name}
            raise StatusError(404, "NotFound", text, details)
        return entry


def resources_of(catalog: Catalog) -> list[Resource]:
    """Return both resources over a catalog."""
    nodes = Resource(
        name=NODES,
        kind="NodeMetrics",
        singular="node",
        namespaced=False,
        fields=(NAME, NAMESPACE),
        objects=catalog.nodes,
        usages=catalog.node_usages,
        prepare=lambda _: iter(()),
        encode_json=json.node_item,
        encode_protobuf=protobuf.node_item,
    )
    pods = Resource(
        name=PODS,
        kind="PodMetrics",
        singular="pods",
        namespaced=True,
        fields=(NAME, NAMESPACE, NODE_NAME),  # the last one goes beyond the reference
        objects=catalog.pods,
        usages=catalog.pod_usages,
        prepare=catalog.prepare_pods,
        encode_json=json.pod_item,
        encode_protobuf=protobuf.pod_item,
    )
    return [nodes, pods]
