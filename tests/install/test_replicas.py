"""Replicas that share their scrapes: one read per node, whatever becomes of the leader."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from tests.install.cluster import SERVICE, Installation
from tests.install.objects import rendered
from tests.support.conditions import until

API = "/apis/metrics.k8s.io/v1beta1"
LEASE = "metrics-server"
PERIOD = 2.0
NODES = 4
FLAGS = ("--leader-elect", "--advertise-address=127.0.0.1", f"--metric-resolution={PERIOD:g}s",
         "--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s",
         "--leader-elect-retry-period=500ms")  # fmt: skip


class Replicas:
    """An installation whose replicas share their scrapes, and what kubelets were asked."""

    def __init__(self, installation):
        self.installation = installation

    async def start(self, *flags):
        replica = await self.installation.start_replica(*FLAGS, *flags)
        await self.installation.ready(replica)
        return replica

    async def reads_per_period(self, periods=3):
        """Count reads of kubelets, per node and period, from now on."""
        before = self._reads()
        await asyncio.sleep(periods * PERIOD)
        return (self._reads() - before) / NODES / periods

    def _reads(self):
        return sum(asked.subresource == "stats" for asked, _ in self.installation.asked)

    async def usage(self, replica, path="pods"):
        """Ask one replica for usage, as an administrator through the API server would."""
        endpoints = self.installation.api.aggregator.endpoints
        endpoints[SERVICE] = [("127.0.0.1", replica.port)]
        return await self.installation.admin.get(f"{API}/{path}")

    def holder(self):
        lease = self.installation.cluster.get("leases", LEASE, "kube-system") or {}
        return lease.get("spec", {}).get("holderIdentity", "")

    async def leader_of(self, *replicas):
        """Tell which of the replicas leads and which follow, by what they log."""
        for replica in replicas:
            lines = [x for x in replica.log.read_text().splitlines() if '"leader changed"' in x]
            if lines and "leading=true" in lines[-1] and self.holder() in lines[-1]:
                return replica
        return None


@asynccontextmanager
async def replicas(directory):
    async with Installation(rendered("high-availability"), directory) as installation:
        for number in range(NODES):
            await installation.add_node(number)
        yield Replicas(installation)


def follows(replica):
    return '"following the leader"' in replica.log.read_text()


async def test_kubelets_are_read_once_and_replicas_serve_the_same(tmp_path):
    async with replicas(tmp_path) as cluster:
        first, second = await cluster.start(), await cluster.start()
        await until(lambda: follows(second), what="following")
        assert await cluster.reads_per_period() == pytest.approx(1.0, abs=0.3)
        bodies = [(await cluster.usage(replica)).json()["items"] for replica in (first, second)]
        served = [
            {(x["metadata"]["namespace"], x["metadata"]["name"]): x["timestamp"] for x in items}
            for items in bodies
        ]
        assert len(served[0]) == NODES * 3
        assert served[0].keys() == served[1].keys()
