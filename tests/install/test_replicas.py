"""Replicas that share their scrapes: one read per node, whatever becomes of the leader."""

import asyncio
import re
import signal
import time
from contextlib import asynccontextmanager

import httpx
import pytest

from metricsapi.server.replicas.stall import STALL
from metricsapi.server.replicas.token_identity import AUDIENCE
from metricsapi.server.tls.issue import make_authority, make_serving
from tests.install.cluster import ACCOUNT, Installation
from tests.install.objects import rendered
from tests.support.conditions import until
from tests.support.pki import client_context

API = "/apis/metrics.k8s.io/v1beta1"
LEASE = ("leases", "metrics-server", "kube-system")
PERIOD = 1.0
NODES = 4
PODS = NODES * 3
TIMING = (
    f"--metric-resolution={PERIOD:g}s",
    "--leader-elect-lease-duration=1500ms",
    "--leader-elect-renew-deadline=1s",
    "--leader-elect-retry-period=300ms",
)


class Replicas:
    """An installation whose replicas share their scrapes, and the reads that its kubelets saw."""

    def __init__(self, installation, client):
        self.installation = installation
        self._client = client

    async def get(self, replica):
        """Ask one replica itself for the usage of all pods, as an administrator."""
        return await replica.get(self._client, f"{API}/pods")

    async def start(self, count=1, *flags):
        started = [await self.installation.start_replica(*TIMING, *flags) for _ in range(count)]
        await self.installation.ready(*started)
        return started

    async def one_read_per_period(self, *following):
        """Wait until kubelets are read once per node and period, and these replicas follow."""
        await until(lambda: all(map(follows, following)), seconds=15, what="following")
        for _ in range(5):
            if (reads := await self.reads_per_period()) == pytest.approx(1.0, abs=0.2):
                return
        pytest.fail(f"{reads} reads per node and period")

    async def reads_per_period(self, periods=2):
        before = self._reads()
        await asyncio.sleep(periods * PERIOD)
        return (self._reads() - before) / NODES / periods

    def _reads(self):
        return sum(asked.subresource == "stats" for asked, _ in self.installation.asked)

    async def usage(self, replica):
        """Return the timestamps and usage of pods that one replica serves, by name."""
        response = (await self.get(replica)).raise_for_status()
        return {
            (item["metadata"]["namespace"], item["metadata"]["name"]): (
                item["timestamp"],
                item["window"],
                item["containers"],
            )
            for item in response.json()["items"]
        }

    def lease(self):
        return self.installation.cluster.get(*LEASE) or {}

    def holder(self):
        return self.lease().get("spec", {}).get("holderIdentity", "")

    async def roles(self, *replicas):
        """Return the leader among the replicas, and the others."""
        await until(lambda: any(map(leads, replicas)), seconds=15, what="a leader")
        leader = next(replica for replica in replicas if leads(replica))
        return leader, [replica for replica in replicas if replica is not leader]


def _last(replica, event):
    lines = [line for line in replica.log.read_text().splitlines() if f'"{event}' in line]
    return lines[-1] if lines else ""


def times(usage):
    return {name: timestamp for name, (timestamp, _, _) in usage.items()}


def cpu(usage):
    """Nanocores by pod and container."""
    return {
        f"{name} {container['name']}": nanocores(container["usage"]["cpu"])
        for name, (_, _, containers) in usage.items()
        for container in containers
    }


def nanocores(text):
    for suffix, factor in (("n", 1), ("u", 1000), ("m", 10**6)):
        if text.endswith(suffix):
            return int(text.removesuffix(suffix)) * factor
    return int(text) * 10**9


def led(replica):
    """Return the holders of the Lease that a replica has logged, itself or another one."""
    return set(re.findall(r'leader="(\w+_\w+)"', replica.log.read_text()))


def leads(replica):
    return "leading=true" in _last(replica, "leader changed")


def follows(replica):
    lines = replica.log.read_text()
    return lines.rfind('"following the leader"') > lines.rfind('"not following the leader')


@asynccontextmanager
async def replicas(directory):
    async with Installation(rendered("high-availability"), directory) as installation:
        for number in range(NODES):
            await installation.add_node(number)
        headers = {"Authorization": installation.admin.headers["authorization"]}
        async with httpx.AsyncClient(
            verify=client_context(), headers=headers, trust_env=False, timeout=10.0
        ) as client:
            yield Replicas(installation, client)


async def test_kubelets_are_read_once_and_replicas_serve_the_same_numbers(tmp_path):
    async with replicas(tmp_path) as cluster:
        both = await cluster.start(2)
        leader, followers = await cluster.roles(*both)
        await cluster.one_read_per_period(*followers)

        for _ in range(20):  # one of the two may have stored a sample a moment earlier
            ours, theirs = await cluster.usage(leader), await cluster.usage(*followers)
            if times(ours) == times(theirs):
                break
            await asyncio.sleep(0.3)
        assert len(ours) == PODS
        assert times(ours) == times(theirs)
        assert cpu(ours) == pytest.approx(cpu(theirs), rel=0.01, abs=1e6)


@pytest.mark.slow
async def test_when_the_leader_dies_the_follower_goes_on_and_a_third_follows_it(tmp_path):
    async with replicas(tmp_path) as cluster:
        leader, (follower,) = await cluster.roles(*await cluster.start(2))
        await cluster.one_read_per_period(follower)
        before = cluster.holder()
        leader.kill()
        await leader.process.wait()
        for _ in range(10):
            assert len(await cluster.usage(follower)) == PODS
            await asyncio.sleep(0.2)
        await until(lambda: cluster.holder() not in ("", before), seconds=15, what="a new leader")
        (third,) = await cluster.start()
        await cluster.one_read_per_period(third)
        assert len(await cluster.usage(third)) == PODS


async def test_a_leader_that_leaves_releases_the_lease_first(tmp_path):
    async with replicas(tmp_path) as cluster:
        leader, (follower,) = await cluster.roles(*await cluster.start(2))
        await cluster.one_read_per_period(follower)
        leader.leave()
        await until(lambda: leads(follower), seconds=1.5, what="the follower leads at once")
        assert leader.process.returncode is None, "it still serves"
        assert await leader.process.wait() == 0


@pytest.mark.slow
async def test_a_frozen_leader_refuses_usage_when_it_thaws_until_it_is_fresh(tmp_path):
    async with replicas(tmp_path) as cluster:
        leader, (follower,) = await cluster.roles(*await cluster.start(2))
        await cluster.one_read_per_period(follower)
        leader.process.send_signal(signal.SIGSTOP)
        await until(lambda: leads(follower), seconds=15, what="the follower leads")
        await asyncio.sleep(STALL)
        waiting = asyncio.create_task(cluster.get(leader))
        await asyncio.sleep(0.5)
        leader.process.send_signal(signal.SIGCONT)
        thawed = await waiting
        assert (thawed.status_code, thawed.headers["retry-after"]) == (503, "1")
        await cluster.one_read_per_period(leader)
        assert len(await cluster.usage(leader)) == PODS
        assert not leads(leader)


@pytest.mark.slow
async def test_what_others_do_to_the_lease_costs_no_usage_and_is_over_soon(tmp_path):
    async with replicas(tmp_path) as cluster:
        both = await cluster.start(2)
        state = cluster.installation.cluster
        for spec in (
            {"holderIdentity": 5, "leaseDurationSeconds": "x"},
            {"holderIdentity": "stranger", "leaseDurationSeconds": 10**6},
            None,  # deleted
        ):
            _, followers = await cluster.roles(*both)
            await cluster.one_read_per_period(*followers)
            if spec is None:
                state.delete(*LEASE)
            else:
                state.apply("leases", {**cluster.lease(), "spec": spec})
            for _ in range(10):
                for replica in both:
                    assert len(await cluster.usage(replica)) == PODS
                await asyncio.sleep(0.1)
            await until(
                lambda: any(cluster.holder() in led(replica) for replica in both),
                seconds=15,
                what="one of ours leads",
            )
        _, followers = await cluster.roles(*both)
        await cluster.one_read_per_period(*followers)


async def test_replicas_with_a_certificate_of_others_know_each_other_by_projected_tokens(tmp_path):
    now = time.time()
    authority = make_authority("cert-manager", now=now, lifetime=86400.0)
    names = ["metrics-server.kube-system.svc"]
    pair = make_serving(names, [], now=now, lifetime=86400.0, authority=authority)
    files = {"tls.crt": pair.certificate, "tls.key": pair.key, "issuer.crt": authority.certificate}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    flags = (
        "--manage-ca-bundle=false",
        f"--tls-cert-file={tmp_path / 'tls.crt'}",
        f"--tls-private-key-file={tmp_path / 'tls.key'}",
        f"--replica-certificate-authority={tmp_path / 'issuer.crt'}",
    )
    async with replicas(tmp_path) as cluster:
        state = cluster.installation.cluster
        service = state.get("apiservices", "v1beta1.metrics.k8s.io")
        service["spec"]["insecureSkipTLSVerify"] = True
        state.apply("apiservices", service)
        started = []
        for number, account in enumerate((ACCOUNT, ACCOUNT, ACCOUNT.replace("metrics", "other"))):
            token = tmp_path / f"token-{number}"
            token.write_text(cluster.installation.api.add_user(account, (), (AUDIENCE,)))
            started += await cluster.start(1, *flags, f"--replica-token-file={token}")
        leader, followers = await cluster.roles(*started)
        assert leader is started[0]
        await until(lambda: follows(followers[0]), seconds=15, what="following")
        refused = followers[1].log
        await until(lambda: "responded 401" in refused.read_text(), seconds=15, what="a refusal")
        assert not follows(followers[1]), "its token is that of another account"
        assert len(await cluster.usage(followers[0])) == PODS
