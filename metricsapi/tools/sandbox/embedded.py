"""The embedded cluster: API server, this machine's kubelet, synthetic kubelets, and its objects."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Self

from metricsapi.tools.sandbox.api import Api
from metricsapi.tools.sandbox.apiserver import ApiServer
from metricsapi.tools.sandbox.background import forever
from metricsapi.tools.sandbox.faults import ANNOTATION, Fault, fault_named
from metricsapi.tools.sandbox.host import Host
from metricsapi.tools.sandbox.hostsource import HostSource
from metricsapi.tools.sandbox.kubeapiserver import KubeApiServer
from metricsapi.tools.sandbox.kubelets import Kubelets
from metricsapi.tools.sandbox.objects import (
    NAMESPACE,
    SERVER,
    SERVICE,
    follow_host,
    host_node,
    install,
)
from metricsapi.tools.sandbox.rbac import Attributes, User, allowed
from metricsapi.tools.sandbox.serving import Certificates
from metricsapi.tools.sandbox.size import Size
from metricsapi.tools.sandbox.state import Cluster
from metricsapi.tools.sandbox.synthetic_nodes import SyntheticNodes
from metricsapi.tools.sandbox.users import ADMIN

USUAL_PORT = 6443


class SandboxError(Exception):
    """The sandbox cannot start or go on; the message says why."""


class Embedded:
    """`async with` it: everything runs; `directory` holds its kubeconfigs, its CA and
    the aggregation layer's client certificate.

    With `assets`, a folder, the API server is the kube-apiserver that is there.
    """

    def __init__(
        self, size: Size, directory: Path, port: int | None = None, assets: Path | None = None
    ) -> None:
        self.size = size
        self.directory = directory
        self.cluster = Cluster()
        self.api: Api = (
            KubeApiServer(self.cluster, assets, directory) if assets else ApiServer(self.cluster)
        )
        self.host = Host()
        self._port = port
        self._stack = contextlib.AsyncExitStack()
        self._kubelets = Kubelets(Certificates(self.api.ca), self._decide)
        self._synthetic: SyntheticNodes | None = None

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.api.stop)
            await self._listen()
            node = self.host.name if self.size.host else "node-0"
            if self.size.manifests:
                self.size.manifests.apply(self.cluster, node)
            else:
                install(self.cluster, node)
            self._write_files()
            self.api.show_log(NAMESPACE, f"{SERVICE}-0", self.directory / "server.log")
            await self._start_host(stack)
            await self._start_synthetic(stack)
            namespaces = {pod["metadata"]["namespace"] for pod in self.cluster.list("pods")}
            for name in sorted(namespaces | {"default", NAMESPACE}):
                self.cluster.apply("namespaces", {"metadata": {"name": name}})
            await self.api.publish()
            self._in_background(stack, "following the nodes' faults", self._follow_faults)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _in_background(
        self,
        stack: contextlib.AsyncExitStack,
        what: str,
        run: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        task = asyncio.create_task(forever(what, run))
        stack.callback(task.cancel)

    async def _listen(self) -> None:
        """Listen on the port of the flag, else on the usual one or any that is free.

        A real API server may lose a free port to another process while it starts.
        """
        ports = [USUAL_PORT, 0, 0] if self._port is None else [self._port]
        while True:
            try:
                await self.api.start(port=ports.pop(0))
            except OSError as error:
                if not ports:
                    where = "any port" if self._port is None else f"port {self._port}"
                    raise SandboxError(f"cannot listen on {where}: {error.strerror}") from error
            else:
                return

    async def _start_host(self, stack: contextlib.AsyncExitStack) -> None:
        if not self.size.host:
            return
        source = HostSource(self.host)
        kubelet = await self._kubelets.start(source)
        stack.push_async_callback(self._kubelets.stop)
        self.cluster.apply("nodes", host_node(self.host, kubelet.port))
        self.host.read(time.time())
        follow_host(self.cluster, self.host, source.namespace)
        follow = partial(self._follow_host, source.namespace)
        self._in_background(stack, "following this machine's processes", follow)

    async def _start_synthetic(self, stack: contextlib.AsyncExitStack) -> None:
        if not self.size.nodes:
            return
        tokens = {
            token: [sub for sub in ("stats", "metrics") if self._decide(token, sub) == 200]
            for token in self.api.tokens
        }
        self._synthetic = SyntheticNodes(self.cluster, self.host, self.size, tokens, self.api.ca)
        stack.push_async_callback(self._synthetic.stop)
        await self._synthetic.start()
        if self.size.churn_pods or self.size.churn_nodes:
            self._in_background(stack, "churn", self._synthetic.churn)

    async def _follow_host(self, namespace: str) -> None:
        """Keep the pods of this machine's node those that run now."""
        while True:
            await asyncio.sleep(2.0)
            self.host.read(time.time())
            follow_host(self.cluster, self.host, namespace)

    async def _follow_faults(self) -> None:
        """Apply to every kubelet the fault that its node's annotation names."""
        current: dict[str, Fault] = {}
        while True:
            nodes = self.cluster.collections["nodes"]
            version = nodes.version
            for node in self.cluster.list("nodes"):
                name = node["metadata"]["name"]
                text = (node["metadata"].get("annotations") or {}).get(ANNOTATION, Fault.NONE)
                fault = fault_named(text) or Fault.NONE
                if fault is not current.get(name, Fault.NONE):
                    current[name] = fault
                    await self._set_fault(name, fault)
            while nodes.version == version:
                await self.cluster.wait_change(60.0, "nodes")

    async def _set_fault(self, name: str, fault: Fault) -> None:
        if self._synthetic is not None and name in self._synthetic:
            await self._synthetic.set_fault(name, fault)
        elif name == self.host.name:
            await self._kubelets.set_fault(name, fault)

    def _decide(self, token: str, subresource: str) -> int:
        """Return the status of a kubelet for a token: 200, 401, or 403 by the cluster's roles."""
        user: User | None = self.api.tokens.get(token)
        if user is None:
            return 401
        attributes = Attributes("get", "", "nodes", subresource)
        return 200 if allowed(self.cluster, user, attributes) else 403

    def _write_files(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        front_proxy = self.api.front_proxy_ca.issue("front-proxy-client")
        files = {
            "kubeconfig": self.api.kubeconfig(ADMIN, ("system:masters",)).encode(),
            "server.kubeconfig": self.api.kubeconfig(SERVER, ()).encode(),
            "front-proxy-client.pem": front_proxy.pair,
        }
        for name, data in files.items():
            path = self.directory / name
            path.touch(mode=0o600)
            path.write_bytes(data)
        (self.directory / "ca.crt").write_bytes(self.api.ca.pem)
