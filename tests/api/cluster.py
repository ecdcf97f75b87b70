"""Stand-ins for what the catalog is made of, and a client that calls the app directly."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

from metricsapi.api.app import create_app
from metricsapi.api.catalog import Catalog
from metricsapi.kube.resources import Node, Pod
from metricsapi.storage.types import NodeUsage, PodUsage
from tests.conformance import recorded_cluster

AT = 1_795_424_640.0  # the wall clock time of all samples


class Objects:
    """What an informer is to the catalog: callbacks, and the objects so far."""

    def __init__(self) -> None:
        self.objects: dict[Any, Any] = {}
        self._callbacks: list[Callable[[Any, Any], None]] = []

    def subscribe(self, callback: Callable[[Any, Any], None], /) -> None:
        self._callbacks.append(callback)
        for item in self.objects.values():
            callback(None, item)

    def set(self, new: Node | Pod) -> None:
        old = self.objects.get(new.key)
        self.objects[new.key] = new
        for callback in self._callbacks:
            callback(old, new)

    def delete(self, key: Any) -> None:
        old = self.objects.pop(key)
        for callback in self._callbacks:
            callback(old, None)


class Usages:
    """A store that is given usages instead of samples."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeUsage] = {}
        self.pods: dict[tuple[str, str], PodUsage] = {}

    def node_usage(self, node: str, _: float) -> NodeUsage | None:
        return self.nodes.get(node)

    max_age = math.inf
    late = False

    def pod(self, namespace: str, name: str) -> Any:
        """Return a pod that is looked up each time."""
        usage = self.pods.get((namespace, name))
        return SimpleNamespace(shown=False, since=0.0, usage=usage, make_usage=lambda: usage)

    def put(self, usage: NodeUsage | PodUsage) -> None:
        if isinstance(usage, NodeUsage):
            self.nodes[usage.name] = usage
        else:
            self.pods[usage.namespace, usage.name] = usage


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    pieces: int  # how many parts the body came in


class Cluster:
    """An app over stand-ins."""

    def __init__(self, **options: Any) -> None:
        self.nodes, self.pods, self.usages = Objects(), Objects(), Usages()
        self.catalog = Catalog(self.nodes, self.pods, self.usages)
        self.app = create_app(catalog=self.catalog, clock=lambda: 0.0, **options)

    def add(self, item: Node | Pod, usage: NodeUsage | PodUsage | None = None) -> None:
        (self.nodes if isinstance(item, Node) else self.pods).set(item)
        if usage is not None:
            self.usages.put(usage)

    def get(self, target: str, *, method: str = "GET", **headers: str) -> Answer:
        """Ask the app; header names are written with underscores."""
        return asyncio.run(ask(self.app, target, method, headers))


async def ask(app: Any, target: str, method: str, headers: dict[str, str]) -> Answer:
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (k.lower().replace("_", "-").encode(), v.encode("latin-1")) for k, v in headers.items()
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 443),
        "state": {},
    }
    start: dict[str, Any] = {}
    body: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body.append(message.get("body", b""))

    await app(scope, receive, send)
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(body), len(body))


def recorded(**options: Any) -> Cluster:
    """The cluster of the recordings."""
    cluster = Cluster(**options)
    for i in range(recorded_cluster.NODES):
        cluster.add(recorded_cluster.node(i), recorded_cluster.node_usage(i, AT))
        for p in range(recorded_cluster.PODS):
            cluster.add(recorded_cluster.pod(i, p), recorded_cluster.pod_usage(i, p, AT))
    return cluster
