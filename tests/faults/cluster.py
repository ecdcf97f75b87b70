"""One cluster with one fault: scraped as in production, while what is served is checked."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.identity import Identity
from metricsapi.kube.tls import ClientTLS
from metricsapi.scrape.direct import DirectFetcher
from metricsapi.scrape.kubelet import KubeletClient
from metricsapi.scrape.scraper import ScraperPool
from metricsapi.storage.store import MetricsStore
from tests.faults.fleet import RATES, TOKEN, node_at
from tests.support.telemetry import telemetry

ALLOWED_LATENESS = 2.0  # seconds beyond the resolution
LONGEST_START = 5.0  # seconds until the healthy nodes are all served


@dataclass
class Served:
    """What was served of some nodes, over all checks at them."""

    checks: int = 0
    complete: int = 0  # checks in which the node and every pod with every container was served
    share: float = 1.0  # of nodes and pods that were served, at the last check
    oldest: float = 0.0  # seconds, of containers' usage when checked
    cpu_error: float = 0.0  # the largest, as a part of the true rate

    def add(self, node, pods, now):
        """Add a check of one node: its usage and its pods', None where there is none."""
        self.checks += 1
        served = [pod for pod in pods if pod is not None]
        self.complete += node is not None and len(served) == len(pods)
        for pod in served:
            self.oldest = max(self.oldest, now - pod.timestamp)
            for container in pod.containers:
                true = RATES[container.name]
                self.cpu_error = max(self.cpu_error, abs(container.cpu - true) / true)


@dataclass
class Result:
    fault: str
    nodes: int
    healthy: Served = field(default_factory=Served)
    faulty: Served = field(default_factory=Served)
    causes: Counter = field(default_factory=Counter)
    first: float | None = None  # seconds until all healthy nodes were served
    skipped: int = 0
    problems: list = field(default_factory=list)


class Nodes:
    def __init__(self, nodes):
        self.nodes = nodes

    def subscribe(self, callback):
        for node in self.nodes:
            callback(None, node)


class Cluster:
    """`number` is part of the addresses, which differ between clusters: 127.number.x.y.

    Without `timed`, times are not judged: then the machine may be busy with other things.
    """

    def __init__(
        self, number, fault, *, nodes=100, pods=10, resolution=15.0, timeout=10.0, timed=True
    ):
        self.fault = fault
        self.timed = timed
        self.resolution = resolution
        self.timeout = timeout
        self.pods = pods
        self.hosts = {
            f"{fault.name}-{i}": f"127.{number}.{i // 250}.{i % 250 + 1}" for i in range(nodes)
        }
        self.faulty = [*self.hosts][::10]  # 1 in 10
        self.healthy = [name for name in self.hosts if name not in self.faulty]
        self.result = Result(fault.name, nodes)

    async def run(self, fleet, seconds):
        """Run: half of the faulty nodes fail from the start, half after a quarter of the time."""
        settings = KubeletSettings(
            resolution=self.resolution,
            timeout=self.timeout,
            port=fleet.port,
            max_response_bytes=2**22,
            endpoint="summary",
        )
        fetcher = DirectFetcher(settings, ClientTLS(lambda: fleet.authority.text), Identity(TOKEN))
        client = KubeletClient(settings, fetcher)
        store = MetricsStore(max_age=max(3 * self.resolution, 60.0))
        nodes = Nodes([node_at(name, host, fleet.port) for name, host in self.hosts.items()])
        pool = ScraperPool(
            nodes=nodes, client=client, store=store, telemetry=telemetry(), settings=settings
        )
        for name in self.faulty[::2]:
            await fleet.set_fault(name, self.fault.fault)
        reading = asyncio.create_task(pool.run())
        began = time.monotonic()
        try:
            await self._watch(store, began, until=began + seconds / 4)
            for name in self.faulty[1::2]:
                await fleet.set_fault(name, self.fault.fault)
            await self._watch(store, began, until=began + seconds)
            faulty = [pool.states[name] for name in self.faulty]
            self.result.causes.update(str(s.failure.cause) if s.failure else "ok" for s in faulty)
            self.result.skipped = pool.skipped
            self._check(pool)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        return self.result

    async def _watch(self, store, began, *, until):
        result = self.result
        while (now := time.monotonic()) < until:
            if result.first is None and all(store.node_usage(name, now) for name in self.healthy):
                result.first = now - began
            if result.first is not None:
                result.healthy.share = self._check_usage(store, self.healthy, result.healthy, now)
            result.faulty.share = self._check_usage(store, self.faulty, result.faulty, now)
            await asyncio.sleep(0.25)

    def _check_usage(self, store, nodes, seen, now):
        """Check what is served of these nodes; return the share of them and their pods that is."""
        served = expected = 0
        for node in nodes:
            usage = store.node_usage(node, now)
            names = [f"{node}-p{i}" for i in range(self.pods)]
            pods = [store.pod_usage("default", name, now) for name in names]
            if any(len(pod.containers) != len(RATES) for pod in pods if pod is not None):
                self.result.problems.append(f"a pod of {node} was served in part")
            seen.add(usage, pods, time.time())
            served += sum(each is not None for each in [usage, *pods])
            expected += 1 + len(pods)
        return served / expected

    def _check(self, pool):
        """Add a problem for each promise that is broken."""
        result, problems = self.result, self.result.problems
        healthy, faulty = result.healthy, result.faulty
        if result.first is None:
            problems.append("healthy nodes were never all served")
        elif self.timed and result.first > LONGEST_START:
            problems.append(f"healthy nodes were all served after {result.first:.1f} s only")
        if healthy.complete < healthy.checks:
            problems.append(f"healthy nodes missed {healthy.checks - healthy.complete} checks")
        if self.timed and healthy.oldest > self.resolution + ALLOWED_LATENESS:
            problems.append(f"healthy usage was {healthy.oldest:.1f} s old")
        failing = [name for name in self.healthy if pool.states[name].failure]
        problems += [f"{name} is healthy, but is counted as failing" for name in failing]
        if set(result.causes) != {self.fault.cause}:
            problems.append(f"counted as {dict(result.causes)}, not as {self.fault.cause}")
        pods = self.pods
        expected = {"nothing": 1.0, "pod": pods / (pods + 1), "node": 0.0}[self.fault.costs]
        if faulty.share < expected - 1e-9:
            problems.append(f"only {faulty.share:.0%} of the faulty nodes was served")
