"""The synthetic nodes of the embedded cluster: their kubelets, their objects, and their churn."""

from __future__ import annotations

import asyncio
import random
import time
from itertools import chain, count, repeat

from metricsapi.tools.sandbox.faults import ANNOTATION, Fault
from metricsapi.tools.sandbox.fleet import Address, Plan
from metricsapi.tools.sandbox.fleets import Fleets
from metricsapi.tools.sandbox.host import Host
from metricsapi.tools.sandbox.objects import pod_object, synthetic_node_object
from metricsapi.tools.sandbox.pki import Authority
from metricsapi.tools.sandbox.record import Key
from metricsapi.tools.sandbox.size import WORKLOADS, Size
from metricsapi.tools.sandbox.state import Cluster
from metricsapi.tools.sandbox.synthetic import synthetic_node
from metricsapi.tools.sandbox.template import SWAP_AVAILABLE, SWAP_USED

TICK = 0.1  # seconds between changes


class SyntheticNodes:
    """Kubelets in processes of their own; nodes and pods in the API server's objects."""

    def __init__(
        self,
        cluster: Cluster,
        host: Host,
        size: Size,
        tokens: dict[str, list[str]],
        authority: Authority,
    ) -> None:
        """`tokens` has the subresources that each bearer token may get."""
        self._cluster = cluster
        self._host = host
        self._size = size
        # The workload of each further pod in the namespace of workloads.
        self._members = chain.from_iterable(repeat(str(n), n) for n in size.workloads)
        self._pods: dict[str, list[Key]] = {}  # by node
        self._numbers = count(1)  # of pods that take the places of others
        plan = Plan(
            size.nodes,
            size.pods,
            size.containers,
            size.namespaces,
            tokens=tokens,
            changing=size.changing,
            swap_every=size.swap_every,
            step=size.step,
            latency=size.latency,
        )
        self._fleets = Fleets(plan, authority)

    def __contains__(self, node: str) -> bool:
        return node in self._fleets

    async def start(self) -> None:
        """Start the kubelets, and create the objects."""
        addresses = await self._fleets.start()
        for i, address in enumerate(addresses.values()):
            self._apply(i, address)

    async def stop(self) -> None:
        """End the kubelets."""
        await self._fleets.stop()

    async def set_fault(self, name: str, fault: Fault) -> None:
        """Make one kubelet misbehave from now on. Raises KeyError for an unknown node."""
        await self._fleets.set_fault(name, fault)

    async def churn(self) -> None:
        """Delete pods and create as many, and let nodes leave and as many join, until cancelled.

        At the rates of the size; what falls behind is made up for.
        """
        size, began = self._size, time.monotonic()
        pods = nodes = 0
        while True:
            await asyncio.sleep(TICK)
            passed = time.monotonic() - began
            if (due := int(size.churn_pods * passed) - pods) > 0:
                await self._replace_pods(due)
                pods += due
            while nodes < int(size.churn_nodes * passed / 60):
                await self._leave(random.choice(list(self._pods)))
                await self._join(size.nodes + nodes)
                nodes += 1

    async def _replace_pods(self, number: int) -> None:
        """Delete so many pods of random nodes, and create one with the same labels for each."""
        changes = []
        for node in random.choices(list(self._pods), k=number):
            keys = self._pods[node]
            at = random.randrange(len(keys))
            namespace, old = keys[at]
            new = f"{'-'.join(old.split('-')[:3])}-{next(self._numbers)}"
            keys[at] = (namespace, new)
            changes.append((node, namespace, old, new))
        await self._fleets.replace([(node, old, new) for node, _, old, new in changes])
        for node, namespace, old, new in changes:
            if (gone := self._cluster.delete("pods", old, namespace)) is not None:
                containers = [each["name"] for each in gone["spec"]["containers"]]
                labels = gone["metadata"]["labels"]
                self._cluster.apply("pods", pod_object(namespace, new, node, containers, labels))

    async def _join(self, i: int) -> None:
        self._apply(i, await self._fleets.join(i))

    async def _leave(self, name: str) -> None:
        for namespace, pod in self._pods.pop(name):
            self._cluster.delete("pods", pod, namespace)
        self._cluster.delete("nodes", name)
        await self._fleets.leave(name)

    def _apply(self, i: int, address: Address) -> None:
        size = self._size
        node = synthetic_node(i, size.pods, size.containers, size.namespaces)
        every = size.swap_every
        swap = SWAP_AVAILABLE + SWAP_USED if every and i % every == 0 else 0
        item = synthetic_node_object(node, *address, self._host, swap=swap)
        if fault := size.faults.get(node.name):
            item["metadata"]["annotations"] = {ANNOTATION: str(fault)}
        self._cluster.apply("nodes", item)
        self._pods[node.name] = [(pod.namespace, pod.name) for pod in node.pods]
        for pod in node.pods:
            containers = [name for name, _, _ in pod.containers]
            labels = pod.labels
            if pod.namespace == WORKLOADS and (workload := next(self._members, None)):
                labels = {**labels, "workload": workload}
            if size.groups:
                labels = {**labels, "group": str(i % size.groups)}
            self._cluster.apply(
                "pods", pod_object(pod.namespace, pod.name, node.name, containers, labels)
            )
