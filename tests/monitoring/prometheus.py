"""A Prometheus that scrapes two replicas in a stand-in cluster, first healthy, then with faults."""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field

import httpx
import yaml

from metricsapi.tools.sandbox.faults import Fault
from metricsapi.tools.sandbox.outages import Outage
from metricsapi.tools.sandbox.rbac import User
from tests.install.cluster import Installation
from tests.install.objects import rendered
from tests.monitoring.rules import alerts, groups, panels
from tests.support.ports import free_port

API = "/apis/metrics.k8s.io/v1beta1"
NODES = 4
# Scrapes of Prometheus in each phase, one a second. A kubelet here reads its node's counters every
# 2 to 4 s, and a rate needs two readings.
SAMPLES_HEALTHY, SAMPLES_FAULTY = 10, 10
HOUSEKEEPING = 2.0
READERS = "readers"
RBAC = "rbac.authorization.k8s.io"
BINDING = {
    ("ClusterRoleBinding", "", READERS): {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": READERS},
        "roleRef": {
            "apiGroup": RBAC,
            "kind": "ClusterRole",
            "name": "system:aggregated-metrics-reader",
        },
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": READERS}],
    }
}
FLAGS = (
    "--metric-resolution=1s",
    "--enable-resource-metrics",
    "--authorization-always-allow-paths=/healthz,/livez,/readyz,/metrics,/metrics/resource",
)


@dataclass
class Observed:
    """What Prometheus answered in a phase: per expression a list of (labels, value)."""

    alerts: dict = field(default_factory=dict)
    operands: dict = field(default_factory=dict)
    panels: dict = field(default_factory=dict)
    memory: float = 0.0  # bytes of all pods by the Metrics API


class Prometheus:
    """A process of Debian's Prometheus in a folder."""

    def __init__(self, program, folder, targets):
        self._port = free_port()
        jobs = [
            {
                "job_name": path,
                "metrics_path": path,
                # Labels of containers are theirs, not those of the server's pod.
                "honor_labels": path == "/metrics/resource",
                "scheme": "https",
                "tls_config": {"insecure_skip_verify": True},
                "static_configs": [
                    {"targets": [target], "labels": {"pod": f"metrics-server-{number}"}}
                    for number, target in enumerate(targets)
                ],
            }
            for path in ("/metrics", "/metrics/resource")
        ]
        (folder / "rules.yaml").write_text(yaml.safe_dump(groups()))
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": jobs,
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._command = [
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self._log = folder / "log"
        self._client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self._port}", trust_env=False, timeout=10.0
        )

    async def __aenter__(self):
        with self._log.open("wb") as out:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out
            )
        return self

    async def __aexit__(self, *_):
        await self._client.aclose()
        self._process.terminate()
        await self._process.wait()

    async def query(self, expression):
        """Return the instant vector of an expression; Prometheus has to accept it."""
        answer = await self._client.get("/api/v1/query", params={"query": expression})
        body = answer.json()
        assert body["status"] == "success", (expression, body)
        return [(each["metric"], float(each["value"][1])) for each in body["data"]["result"]]

    async def scraped(self, times, seconds=60):
        """Wait until both targets were scraped so many times more, without a failure."""
        expression = "min by (job) (count_over_time(up[5m]))"
        wanted = None
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(httpx.ConnectError):
                    counts = {
                        labels["job"]: count for labels, count in await self.query(expression)
                    }
                    if len(counts) == 2:
                        wanted = wanted or {job: count + times for job, count in counts.items()}
                        if all(counts[job] >= wanted[job] for job in wanted):
                            return
                await asyncio.sleep(0.2)

    async def observe(self):
        """Evaluate every expression of alerts and dashboard."""
        observed = Observed()
        for name, expression in alerts().items():
            observed.alerts[name] = await self.query(expression)
            observed.operands[name] = await self.query(operand(expression))
        for key, expression in panels().items():
            observed.panels[key] = await self.query(expression)
        return observed


def memory_of(pods):
    """The bytes of all containers in a list of the Metrics API."""
    return sum(
        int(container["usage"]["memory"].removesuffix("Ki")) * 1024
        for pod in pods["items"]
        for container in pod["containers"]
        if container["usage"]["memory"].endswith("Ki")
    )


def operand(expression):
    """What an alert compares with its threshold."""
    for comparison in (" > ", " == "):
        left, found, _ = expression.rpartition(comparison)
        if found:
            return left
    return expression


async def requests(installation, replica, ended, *, faulty):
    """Requests as kubectl and the HPA send them; each that comes directly has a new token.

    The last ones are finished: a connection whose handshake is cancelled is not closed at once.
    """
    aggregator = installation.api.aggregator
    service = installation.cluster.get("apiservices", "v1beta1.metrics.k8s.io")
    number = 0
    while not ended.is_set():
        number += 1
        with contextlib.suppress(httpx.HTTPError):
            for path in (f"{API}/nodes", f"{API}/pods", f"{API}/namespaces/ns-1/pods"):
                await installation.admin.get(path)
            # Without the API server in between, which may be failing; then all of them fail.
            for autoscaler in range(10 if faulty else 1):
                user = User(f"autoscaler-{number}-{autoscaler}", (READERS,))
                answer = await aggregator.send(service, "GET", f"{API}/pods", user=user, kept=[])
                await answer.aclose()
            token = installation.api.add_user("reader", ("system:masters",))
            url = f"https://127.0.0.1:{replica.port}{API}/nodes"
            await installation.direct.get(url, headers={"Authorization": f"Bearer {token}"})
        if faulty:
            await send_malformed(replica.port)
        await asyncio.sleep(0.2)


async def send_malformed(port):
    """Send what is no HTTP, until the server closes the connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(b"nothing that is a request\r\n\r\n")
        await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def requested(installation, replica, *, faulty):
    """Send requests meanwhile."""
    ended = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(requests(installation, replica, ended, faulty=faulty))
        try:
            yield
        finally:
            ended.set()


async def observed(program, folder):
    """Return what is observed while all is well, and with faults of kubelets and API server."""
    cluster, data = folder / "cluster", folder / "prometheus"
    cluster.mkdir()
    data.mkdir()
    async with Installation(rendered("high-availability") | BINDING, cluster) as installation:
        for number in range(NODES):
            await installation.add_node(number, housekeeping=HOUSEKEEPING)
        replica = await installation.start_replica(*FLAGS)
        other = await installation.start_replica(*FLAGS)
        await installation.ready(replica, other)
        targets = [f"127.0.0.1:{each.port}" for each in (replica, other)]
        async with Prometheus(program, data, targets) as prometheus:
            async with requested(installation, replica, faulty=False):
                await prometheus.scraped(SAMPLES_HEALTHY)
                healthy = await prometheus.observe()
                healthy.memory = memory_of((await installation.admin.get(f"{API}/pods")).json())
            await installation.kubelets.set_fault("node-0", Fault.REFUSE)
            await installation.kubelets.set_fault("node-1", Fault.NO_CONTAINERS)
            await installation.api.set_outage(Outage.FAILING)
            async with requested(installation, replica, faulty=True):
                await prometheus.scraped(SAMPLES_FAULTY)
                faulty = await prometheus.observe()
    return healthy, faulty
