"""A cluster in which pods start: the sandbox's API server, and kubelets that list what runs."""

import contextlib
import json
import time

from metricsapi.tools.sandbox.apiserver import ApiServer
from metricsapi.tools.sandbox.kubelets import Kubelets, loopback
from metricsapi.tools.sandbox.objects import SERVER, install, node_object, pod_object
from metricsapi.tools.sandbox.rbac import Attributes, allowed
from metricsapi.tools.sandbox.serving import Certificates
from metricsapi.tools.sandbox.state import Cluster, timestamp

NAMESPACE = "default"
CPU = 250_000_000  # nanocores of every pod's one container
OLD_PODS = 6  # of each node, which have run for an hour: they show when stats are read


class Source:
    """A kubelet over containerd: containers are read while a request is served."""

    def __init__(self, name):
        self.name = name
        self.reads = 0
        self.pods = {f"old-{name}-{i}": time.time() - 3600.0 - i for i in range(OLD_PODS)}

    def summary(self, now, *, full=False):  # noqa: ARG002
        self.reads += 1
        node = {"nodeName": self.name, **_stats(now, now - 1e6, 10**9)}
        pods = [
            {
                "podRef": {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}"},
                "startTime": timestamp(started),
                "containers": [{"name": "c", **_stats(now, started, CPU)}],
            }
            for name, started in self.pods.items()
            if started <= now
        ]
        return json.dumps({"node": node, "pods": pods}).encode()

    def exposition(self, now):
        raise NotImplementedError


def _stats(now, started, nanocores):
    counter = round((now - started) * nanocores) + 1
    cpu = {"time": timestamp(now), "usageNanoCores": 0, "usageCoreNanoSeconds": counter}
    memory = {"time": timestamp(now), "workingSetBytes": 2**26}
    return {"startTime": timestamp(started), "cpu": cpu, "memory": memory}


class StartingCluster:
    """`async with` it: `nodes` nodes with `OLD_PODS` pods each. Files are in `directory`."""

    def __init__(self, directory, nodes):
        self.directory = directory
        self.cluster = Cluster()
        self.api = ApiServer(self.cluster)
        self.sources = [Source(f"node-{i}") for i in range(nodes)]
        self._kubelets = Kubelets(Certificates(self.api.ca), self._decide)
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self):
        await self.api.start()
        self._stack.push_async_callback(self.api.stop)
        self._stack.push_async_callback(self._kubelets.stop)
        install(self.cluster, "node-0")
        (self.directory / "server.kubeconfig").write_text(self.api.kubeconfig(SERVER, ()))
        (self.directory / "ca.crt").write_bytes(self.api.ca.pem)
        for i, source in enumerate(self.sources):
            kubelet = await self._kubelets.start(source, loopback(i))
            size = {"cores": 8, "memory": 2**34, "info": {}, "address": kubelet.address}
            self.cluster.apply("nodes", node_object(source.name, {}, kubelet.port, **size))
            for name in source.pods:
                self._apply(source, name, ready=True)
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()

    def start(self, source, name, *, ready, known_after=0.0):
        """Let a pod run from now on; its kubelet lists it `known_after` seconds later."""
        source.pods[name] = time.time() + known_after
        self._apply(source, name, ready=ready)

    def become_ready(self, source, name):
        self._apply(source, name, ready=True)

    def _apply(self, source, name, *, ready):
        item = pod_object(NAMESPACE, name, source.name, ["c"], {"node": source.name})
        item["status"]["containerStatuses"] = [{"name": "c", "ready": ready}]
        self.cluster.apply("pods", item)

    def _decide(self, token, subresource):
        user = self.api.tokens.get(token)
        if user is None:
            return 401
        return (
            200 if allowed(self.cluster, user, Attributes("get", "", "nodes", subresource)) else 403
        )
