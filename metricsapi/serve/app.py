"""The application: nodes and pods of metrics.k8s.io, discovery, and what is plugged in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from metricsapi.kube.objects import Node, Pod
from metricsapi.samples import NodeUsage, PodUsage
from metricsapi.serve.status import StatusError

GROUP = "metrics.k8s.io"
VERSION = "v1beta1"
GROUP_VERSION = f"{GROUP}/{VERSION}"


class Usages(Protocol):
    """Where usage comes from: `MetricsStore`."""

    def node_usage(self, node: str, now: float) -> NodeUsage | None: ...
    def pod_usage(self, namespace: str, name: str, now: float) -> PodUsage | None: ...


def create_app(  # noqa: C901 - one small handler after the other
    *,
    nodes: Mapping[Any, Node],
    pods: Mapping[Any, Pod],
    store: Usages,
    routes: list[BaseRoute] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """Give the application over current nodes and pods and their usage."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, routes=routes)
    base = f"/apis/{GROUP_VERSION}"

    @app.exception_handler(StatusError)
    async def status_error(_: Request, error: StatusError) -> Response:
        return _json(error.body(), error.code)

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, __: HTTPException) -> Response:
        missing = StatusError(
            404, "NotFound", "the server could not find the requested resource", {}
        )
        return _json(missing.body(), 404)

    @app.get("/apis")
    async def groups() -> Response:
        return _json({"kind": "APIGroupList", "groups": [_group()]})

    @app.get(f"/apis/{GROUP}")
    async def group() -> Response:
        return _json({"kind": "APIGroup", "apiVersion": "v1", **_group()})

    @app.get(base)
    async def resources() -> Response:
        return _json(_resources())

    @app.get(f"{base}/nodes")
    async def list_nodes() -> Response:
        now = clock()
        found = (
            _node(node, usage)
            for _, node in sorted(nodes.items())
            if (usage := store.node_usage(node.name, now))
        )
        return _json(_list("NodeMetrics", found))

    @app.get(f"{base}/nodes/{{name}}")
    async def get_node(name: str) -> Response:
        usage = store.node_usage(name, clock())
        if name not in nodes or usage is None:
            raise _not_found("node", name, name)
        return _json(_object("NodeMetrics", _node(nodes[name], usage)))

    def list_of_pods(namespace: str | None) -> Response:
        now = clock()
        found = (
            _pod(pod, usage)
            for _, pod in sorted(pods.items())
            if namespace in (None, pod.namespace)
            and (usage := store.pod_usage(pod.namespace, pod.name, now))
        )
        return _json(_list("PodMetrics", found))

    @app.get(f"{base}/pods")
    async def list_pods() -> Response:
        return list_of_pods(None)

    @app.get(f"{base}/namespaces/{{namespace}}/pods")
    async def list_namespaced_pods(namespace: str) -> Response:
        return list_of_pods(namespace)

    @app.get(f"{base}/namespaces/{{namespace}}/pods/{{name}}")
    @app.get(f"{base}/namespace/{{namespace}}/pods/{{name}}")
    async def get_pod(namespace: str, name: str) -> Response:
        usage = store.pod_usage(namespace, name, clock())
        pod = pods.get((namespace, name))
        if pod is None or usage is None:
            raise _not_found("pod", f"{namespace}/{name}", name)
        return _json(_object("PodMetrics", _pod(pod, usage)))

    return app


def _json(value: Any, code: int = 200) -> Response:
    return Response(
        msgspec.json.encode(value) + b"\n",
        code,
        {"Cache-Control": "no-cache, private"},
        "application/json",
    )


def _not_found(kind: str, shown: str, name: str) -> StatusError:
    details = {"name": name, "kind": kind}
    return StatusError(404, "NotFound", f'{kind} "{shown}" not found', details)


def _group() -> dict[str, Any]:
    version = {"groupVersion": GROUP_VERSION, "version": VERSION}
    return {"name": GROUP, "versions": [version], "preferredVersion": version}


def _resources() -> dict[str, Any]:
    def resource(name: str, kind: str, *, namespaced: bool) -> dict[str, Any]:
        return {
            "name": name,
            "singularName": "",
            "namespaced": namespaced,
            "kind": kind,
            "verbs": ["get", "list"],
        }

    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": GROUP_VERSION,
        "resources": [
            resource("nodes", "NodeMetrics", namespaced=False),
            resource("pods", "PodMetrics", namespaced=True),
        ],
    }


def _object(kind: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": GROUP_VERSION, **item}


def _list(kind: str, items: Any) -> dict[str, Any]:
    return {**_object(f"{kind}List", {"metadata": {}}), "items": list(items)}


def _node(node: Node, usage: NodeUsage) -> dict[str, Any]:
    return {
        "metadata": _metadata({"name": node.name}, node.labels, usage.timestamp),
        "timestamp": _time(usage.timestamp),
        "window": f"{usage.window:g}s",
        "usage": _usage(usage.cpu, usage.memory),
    }


def _pod(pod: Pod, usage: PodUsage) -> dict[str, Any]:
    names = {"name": pod.name, "namespace": pod.namespace}
    return {
        "metadata": _metadata(names, pod.labels, usage.timestamp),
        "timestamp": _time(usage.timestamp),
        "window": f"{usage.window:g}s",
        "containers": [
            {"name": one.name, "usage": _usage(one.cpu, one.memory)} for one in usage.containers
        ],
    }


def _metadata(names: dict[str, str], labels: dict[str, str], timestamp: float) -> dict[str, Any]:
    return {**names, "creationTimestamp": _time(timestamp), "labels": labels}


def _usage(cpu: int, memory: int) -> dict[str, str]:
    return {"cpu": f"{cpu}n", "memory": f"{memory // 1024}Ki"}


def _time(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
