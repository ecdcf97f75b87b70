"""The kubelets of clusters that are read by the test's own process: the sandbox's, with faults."""

import asyncio
import time

from metricsapi.kube.resources import Address, Node
from metricsapi.tools.sandbox.fleet import by_tokens
from metricsapi.tools.sandbox.kubelet import Kubelet
from metricsapi.tools.sandbox.serving import Certificates
from metricsapi.tools.sandbox.synthetic import SyntheticNode, SyntheticPod
from metricsapi.tools.sandbox.template import SyntheticSource
from tests.support.pki import Authority

RATES = {"c0": 150_000_000, "c1": 40_000_000}  # nanocores, of every pod's two containers
TOKEN = "t"


class Fleet:
    """All kubelets on one port, each on a loopback address of its own: `hosts` by node name."""

    def __init__(self, hosts, pods, *, slow_seconds=None):
        self.authority = Authority("kubernetes")
        self.port = 0
        certificates = Certificates(self.authority, list(hosts.items()))
        decide = by_tokens({TOKEN: ["stats", "metrics"]})
        self._kubelets = {
            name: Kubelet(_source(name, pods), host, decide, certificates)
            for name, host in hosts.items()
        }
        for kubelet in self._kubelets.values():
            kubelet.slow_seconds = slow_seconds or kubelet.slow_seconds

    async def __aenter__(self):
        for kubelet in self._kubelets.values():
            self.port = await kubelet.start(self.port)
        return self

    async def __aexit__(self, *_):
        for kubelet in self._kubelets.values():
            await kubelet.stop()
        for _ in range(5):  # iterations of the loop in which asyncio closes what was aborted
            await asyncio.sleep(0.001)

    async def set_fault(self, name, fault):
        """Make a kubelet fail from now on; its connections break as well."""
        await self._kubelets[name].set_fault(fault)


def node_at(name, host, port):
    return Node(name, {}, {}, (Address("InternalIP", host),), port, ready=True)


def _source(name, pods):
    containers = tuple((container, rate, 2**26) for container, rate in RATES.items())
    listed = [SyntheticPod(f"{name}-p{i}", "default", {}, containers) for i in range(pods)]
    synthetic = SyntheticNode(0, name, {}, 10**9, 2**30, tuple(listed))
    return SyntheticSource(synthetic, time.time() - 3600)
