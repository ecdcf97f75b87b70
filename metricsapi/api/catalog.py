"""The catalog: the objects of the API server, joined with their current usage.

store + informers → **catalog** → render.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar, cast

from metricsapi.api.entries import Entry, StoredPod
from metricsapi.api.index import Objects
from metricsapi.kube.resources import Node, Pod
from metricsapi.storage.types import NodeUsage, PodUsage

Object_co = TypeVar("Object_co", covariant=True)


class Watched(Protocol[Object_co]):
    """What the catalog needs of an informer."""

    def subscribe(
        self, callback: Callable[[Object_co | None, Object_co | None], None], /
    ) -> None: ...


class Store(Protocol):
    """What the catalog needs of the store; usages are the same objects until they change."""

    max_age: float
    late: bool  # whether what it has of some pods may have to be put first

    def node_usage(self, node: str, now: float) -> NodeUsage | None: ...

    def pod(self, namespace: str, name: str) -> StoredPod | None: ...


class Catalog:
    """Nodes and pods with their usage. Ready before there is any data: it is empty then."""

    def __init__(self, nodes: Watched[Node], pods: Watched[Pod], store: Store) -> None:
        self.nodes: Objects[Node] = Objects()
        self.pods: Objects[Pod] = Objects()
        self._store = store
        nodes.subscribe(self.nodes.changed)
        pods.subscribe(self.pods.changed)

    def node_usages(self, entries: Sequence[Entry], now: float) -> list[NodeUsage | None]:
        """Return the current usage of each node's entry."""
        return [self._store.node_usage(entry.object.name, now) for entry in entries]

    def prepare_pods(self, entries: Iterable[Entry]) -> Iterator[None]:
        """Have the store put what it has of these pods, in steps, so that `pod_usages` is quick."""
        for entry in entries if self._store.late else ():
            stored = self._stored(entry)
            if stored is not None and stored.usage is None:
                stored.make_usage()
                yield

    def pod_usages(self, entries: Sequence[Entry], now: float) -> list[PodUsage | None]:
        """Return the current usage of each pod's entry.

        An entry remembers where the store keeps its pod. To look that up by name costs more than
        all the rest of a long list, since keys and names are spread over memory.
        """
        oldest = now - self._store.max_age
        usages: list[PodUsage | None] = []
        for entry in entries:
            stored = entry.stored
            if stored is None or not stored.shown:
                stored = self._stored(entry)
            usage = None
            if stored is not None:
                usage = stored.usage or stored.make_usage()
                if stored.since < oldest:
                    usage = None
            usages.append(usage)
        return usages

    def _stored(self, entry: Entry) -> StoredPod | None:
        stored = entry.stored
        if stored is None or not stored.shown:
            pod = cast("Pod", entry.object)
            stored = entry.stored = self._store.pod(pod.namespace, pod.name)
        return stored
