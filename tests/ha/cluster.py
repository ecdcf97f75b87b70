"""Replicas over counting stand-in kubelets, and what clients see of them meanwhile."""

import asyncio
import contextlib
import random
import socket
import time
from dataclasses import dataclass, field

import httpx

from metricsapi.kube.election import Timing
from metricsapi.server.replicas.reception import SILENCE
from tests.ha.link import Link
from tests.install.cluster import ACCOUNT, Installation
from tests.install.objects import rendered
from tests.support.conditions import until
from tests.support.pki import client_context

API = "/apis/metrics.k8s.io/v1beta1"
LEASE = ("leases", "metrics-server", "kube-system")
KUBERNETES = Timing()  # as every Kubernetes component has it


@dataclass
class Observations:
    """What clients saw of the replicas that were up."""

    responses: int = 0
    failed: list = field(default_factory=list)
    oldest: float = 0.0  # seconds, of the oldest usage of a pod when it was read
    cpu_error: float = 0.0  # the largest, as a part of the true rate
    leaderless: float = 0.0  # seconds of the longest time without a leader

    def add(self, response, pods, truth):
        """Add the response of one replica."""
        self.responses += 1
        if response.status_code != 200:
            self.failed.append(f"{response.status_code} {response.text[:120]}")
            return
        items = response.json()["items"]
        if len(items) != pods:
            self.failed.append(f"{len(items)} of {pods} pods")
        for item in items:
            self.oldest = max(self.oldest, time.time() - _epoch(item["timestamp"]))
            for container in item["containers"]:
                name = (item["metadata"]["name"], container["name"])
                error = abs(nanocores(container["usage"]["cpu"]) - truth[name]) / truth[name]
                self.cpu_error = max(self.cpu_error, error)


class Member:
    """One replica, with a link to the API server and one on which other replicas reach it."""

    def __init__(self, replica, api, peers, authority):
        self.replica = replica
        self.authority = authority  # the file of its CA of kubelets
        self.api = api
        self.peers = peers
        self.up = True  # whether clients may expect usage of it
        self.thawed = False  # whether 503 is allowed, as it was frozen

    @property
    def process(self):
        return self.replica.process

    def lines(self, event):
        text = self.replica.log.read_text()
        return [line for line in text.splitlines() if f'"{event}' in line]

    def leads(self):
        lines = self.lines("leader changed")
        return bool(lines) and "leading=true" in lines[-1] and self.process.returncode is None


class HighAvailability:
    """An installation whose replicas share their scrapes; `seen` is what clients saw."""

    def __init__(
        self, directory, *, nodes, pods, period, timing=KUBERNETES, interval=1.0, grace=2.0
    ):
        """Take seconds: `period` between two scrapes, `interval` between two requests of a client.

        A replica that gets SIGTERM serves on for `grace` seconds.
        """
        self.installation = Installation(
            rendered("high-availability"), directory, shutdown_delay=f"{grace:g}s"
        )
        self.installation.probe_period = 0.2
        self.nodes, self.pods = nodes, nodes * pods
        self._per_node = pods
        self._flags = (
            f"--metric-resolution={period:g}s",
            f"--leader-elect-lease-duration={timing.lease_duration:g}s",
            f"--leader-elect-renew-deadline={timing.renew_deadline:g}s",
            f"--leader-elect-retry-period={timing.retry_period:g}s",
        )
        self.period = period
        self.lease_duration = timing.lease_duration
        self.lost = max(2 * period, SILENCE + period)  # until a follower has noticed a silence
        self._interval = interval
        self._stack = contextlib.AsyncExitStack()
        self._truth = {}
        self.members = []
        self.seen = Observations()
        self._querying = None

    async def __aenter__(self):
        await self._stack.enter_async_context(self.installation)
        for number in range(self.nodes):
            node = await self.installation.add_node(number, self._per_node)
            for pod in node.pods:
                for name, cpu, _ in pod.containers:
                    self._truth[pod.name, name] = cpu
        # As the aggregation layer asks for an administrator, which needs no API server.
        certificate = self.installation.api.front_proxy_ca.issue("front-proxy-client")
        headers = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
        context = client_context(certificate)
        self._client = await self._stack.enter_async_context(
            httpx.AsyncClient(verify=context, headers=headers, trust_env=False, timeout=10.0)
        )
        return self

    async def __aexit__(self, *_):
        if self._querying:
            self._querying.cancel()
        await self._stack.aclose()

    async def start(self, *prefix, flags=()):
        """Start a replica, with a command before it, and wait until it is ready."""
        number = len(self.members) + 1
        api = self.installation.api
        link = await self._stack.enter_async_context(
            Link("127.0.0.1", 0, ("127.0.0.1", httpx.URL(api.url).port))
        )
        kubeconfig = self.installation.directory / f"kubeconfig-{number}"
        text = api.kubeconfig(ACCOUNT).replace(api.url, f"https://127.0.0.1:{link.port}")
        kubeconfig.write_text(text)
        authority = self.installation.directory / f"kubelets-{number}.crt"
        authority.write_bytes(api.ca.pem)
        port, address = _free_port(), f"127.0.1.{number}"
        peers = Link(address, port, ("127.0.0.1", port))
        await self._stack.enter_async_context(peers)
        replica = await self.installation.start_replica(
            *self._flags,
            f"--kubeconfig={kubeconfig}",
            f"--kubelet-certificate-authority={authority}",
            f"--secure-port={port}",
            f"--advertise-address={address}",
            *flags,
            prefix=prefix,
        )
        await self.installation.ready(replica, seconds=90)
        self.members.append(Member(replica, link, peers, authority))
        return self.members[-1]

    async def settle(self, seconds=90):
        """Wait until one replica leads and every other one that is up follows."""
        await until(self._settled, seconds=seconds, what="one leads, the others follow")

    def _settled(self):
        up = [member for member in self.members if member.process.returncode is None and member.up]
        leading = [member for member in up if member.leads()]
        return len(leading) == 1 and all(_follows(m) for m in up if m is not leading[0])

    @property
    def leader(self):
        return next(member for member in self.members if member.up and member.leads())

    @property
    def follower(self):
        return next(member for member in self.members if member.up and not member.leads())

    def lease(self):
        return self.installation.cluster.get(*LEASE) or {}

    def watch(self):
        """Query every replica periodically from now on."""
        self.seen = Observations()
        self._querying = asyncio.create_task(self._query())

    async def reads_per_period(self, seconds):
        """Count reads of kubelets, per node and period."""
        return await self.reads_while(asyncio.sleep(seconds))

    async def reads_while(self, fault):
        """Count reads per node and period until a fault is over."""
        before, started = self._reads(), time.monotonic()
        await fault
        seconds = max(self.period, time.monotonic() - started)
        return (self._reads() - before) * self.period / seconds / self.nodes

    def _reads(self):
        return sum(request.subresource == "stats" for request, _ in self.installation.asked)

    async def _query(self):
        without_since = None
        while True:
            started = time.monotonic()
            up = [member for member in self.members if member.up]
            await asyncio.gather(*map(self._query_replica, up))
            if any(member.leads() for member in up):
                without_since = None
            else:
                without_since = without_since or started
                self.seen.leaderless = max(self.seen.leaderless, time.monotonic() - without_since)
            await asyncio.sleep(max(0.0, started + self._interval - time.monotonic()))

    async def list_pods(self, member):
        """Return one replica's response to a list of all pods."""
        return await member.replica.get(self._client, f"{API}/pods")

    async def _query_replica(self, member):
        try:
            response = await self.list_pods(member)
        except httpx.HTTPError as error:
            if member.up:
                self.seen.failed.append(repr(error))
            return
        if member.up and not (member.thawed and response.status_code == 503):
            self.seen.add(response, self.pods, self._truth)


def _follows(member):
    text = member.replica.log.read_text()
    return text.rfind('"following the leader"') > text.rfind('"not following the leader')


def _free_port():
    """Return a port below those that the system gives to clients, who would take it meanwhile."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _epoch(text):
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone


def nanocores(text):
    for suffix, factor in (("n", 1), ("u", 1000), ("m", 10**6)):
        if text.endswith(suffix):
            return int(text.removesuffix(suffix)) * factor
    return int(text) * 10**9
