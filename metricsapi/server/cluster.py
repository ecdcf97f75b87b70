"""The API server's view of nodes and pods, as the store needs it: from informers and lookups.

The watch of pods is of metadata alone, which does not tell the node that a pod is bound to. It is
looked up for the few pods that several nodes list, by a list request for each, one at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from cachetools import TTLCache
from msgspec import Struct

from metricsapi.kube.backoff import Backoff
from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import KubeError
from metricsapi.kube.informer import Informer
from metricsapi.kube.progress import Progress, unobserved, wait_for
from metricsapi.kube.resources import Capacity, Node, Pod
from metricsapi.storage.store import MetricsStore

MAX_PENDING = 1000  # lookups; the store asks for further ones again
LOOKUP_INTERVAL = 0.1  # seconds between two lookups
REPEAT_AFTER = 10.0  # seconds before the same pod is looked up again
UNKNOWN = Capacity()

Key = tuple[str, str]  # namespace, name

log = logging.getLogger(__name__)


class _Metadata(Struct):
    uid: str = ""


class _Spec(Struct, rename="camel"):
    node_name: str = ""


class _Pod(Struct):
    metadata: _Metadata
    spec: _Spec


class _Pods(Struct):
    items: list[_Pod] | None = None


class ClusterView:
    """The API server's view: implements `storage.cluster.Cluster`."""

    def __init__(self, nodes: Informer[Node], pods: Informer[Pod], client: KubeClient) -> None:
        self._nodes = nodes
        self._pods = pods
        self._client = client
        self._pending: dict[Key, None] = {}  # first in, first out
        self._looked_up: TTLCache[Key, None] = TTLCache(MAX_PENDING, REPEAT_AFTER)
        self._wake = asyncio.Event()

    def capacity(self, node: str) -> Capacity:
        """Return the capacity of a node; without numbers for a node that is not known."""
        known = self._nodes.objects.get(node)
        return known.capacity if known is not None else UNKNOWN

    def uids(self, namespace: str, name: str) -> Collection[str]:
        """Return the uids under which a kubelet may list a pod; none if there is no such pod."""
        pod = self._pods.objects.get((namespace, name))
        return () if pod is None else [uid for uid in (pod.uid, pod.static_uid) if uid]

    def look_up(self, namespace: str, name: str) -> None:
        """Queue a lookup of the node that a pod is bound to; `run` passes it to the store."""
        key = namespace, name
        if len(self._pending) < MAX_PENDING and key not in self._looked_up:
            self._pending[key] = None
            self._wake.set()

    def follow(self, store: MetricsStore) -> None:
        """Notify the store from now on when a pod is replaced by another of its name."""

        def changed(old: Pod | None, new: Pod | None) -> None:
            if old is None or new is None or (old.uid, old.static_uid) != (new.uid, new.static_uid):
                pod = new or old
                if pod is not None:
                    store.reconsider(pod.namespace, pod.name)

        self._pods.subscribe(changed)

    async def run(self, store: MetricsStore, progress: Progress = unobserved) -> None:
        """Look up the nodes of pending pods, and pass them to the store, until cancelled."""
        backoff = Backoff()
        while True:
            progress()
            if not self._pending:
                self._wake.clear()
                await wait_for(self._wake)
                continue
            namespace, name = key = next(iter(self._pending))
            del self._pending[key]
            try:
                pod = await self._bound(namespace, name)
            except KubeError as error:
                data = {"pod": f"{namespace}/{name}", "error": str(error)}
                log.debug("cannot look up the node of a pod", extra={"data": data})
                self._pending[key] = None  # behind the others
                await asyncio.sleep(backoff.delay())
                continue
            self._looked_up[key] = None
            if pod is not None:
                store.bind(namespace, name, pod.metadata.uid, pod.spec.node_name)
            await asyncio.sleep(LOOKUP_INTERVAL)

    async def _bound(self, namespace: str, name: str) -> _Pod | None:
        """Return the pod of this name if it is bound to a node. Raises KubeError."""
        pods: _Pods = await self._client.request_json(
            "GET",
            f"/api/v1/namespaces/{namespace}/pods",
            _Pods,
            params={"fieldSelector": f"metadata.name={name}", "limit": 1},
        )
        for pod in pods.items or ():
            if pod.metadata.uid and pod.spec.node_name:
                return pod
        return None
