"""A stand-in cluster with rendered manifests as its objects, and replicas of the server in it.

What a cluster's controllers would do is done here: replicas are processes with the Deployment's
own flags, and a replica is an endpoint of the Service while its readiness probe succeeds.
"""

import asyncio
import contextlib
import os
import re
import signal
import ssl
import sys
import time
from dataclasses import dataclass, field

import httpx

from metricsapi.tools.sandbox import apiserver
from metricsapi.tools.sandbox.apiserver import ApiServer
from metricsapi.tools.sandbox.kubelets import Kubelets
from metricsapi.tools.sandbox.objects import node_object, pod_object
from metricsapi.tools.sandbox.rbac import Attributes, allowed
from metricsapi.tools.sandbox.serving import Certificates
from metricsapi.tools.sandbox.state import BY_KIND, Cluster
from metricsapi.tools.sandbox.synthetic import synthetic_node
from metricsapi.tools.sandbox.template import SyntheticSource
from metricsapi.tools.sandbox.users import ADMIN
from tests.install.objects import args
from tests.support.conditions import until
from tests.support.service import ServiceForwarder

SERVICE = ("kube-system", "metrics-server")
ACCOUNT = "system:serviceaccount:kube-system:metrics-server"
# How long after its end began a replica still gets requests: endpoints take their time.
LAG = 0.5
# Flags that say where on this machine things are; the rest is the Deployment's.
OWN = ("--secure-port=", "--cert-dir=", "--shutdown-delay-duration=")


@dataclass
class Replica:
    """One running server."""

    process: asyncio.subprocess.Process
    port: int
    log: object
    ready: bool = False
    lag: float = LAG
    leaving_since: float = field(default=float("inf"))

    async def get(self, client, path):
        """Ask this replica itself, as nobody."""
        return await client.get(f"https://127.0.0.1:{self.port}{path}")

    def leave(self):
        self.leaving_since = time.monotonic()
        self.process.send_signal(signal.SIGTERM)

    def kill(self):
        self.process.kill()


class Installation:
    """`with` it: an API server with the objects, kubelets, and as many replicas as are started."""

    def __init__(self, objects, directory, *, shutdown_delay="2s", api=ApiServer):
        self.objects = objects
        self.directory = directory
        self.cluster = Cluster()
        self.api = api(self.cluster)
        self.kubelets = Kubelets(Certificates(self.api.ca), self.decide)
        self.replicas = []
        self.asked = []
        self.probe_period = 0.1  # seconds between two readiness probes of a replica
        self._flags = [f"--shutdown-delay-duration={shutdown_delay}"]
        self._following = []
        self._stack = contextlib.AsyncExitStack()
        # Whether the Service's selector fits a replica's labels.
        self.selects = lambda _: True

    async def __aenter__(self):
        await self.api.start()
        for thing in self.objects.values():
            self.cluster.apply(BY_KIND[thing["kind"]].plural, thing)
        kubeconfig = self.directory / "kubeconfig"
        kubeconfig.write_text(self.api.kubeconfig(ACCOUNT))
        authority = self.directory / "ca.crt"
        authority.write_bytes(self.api.ca.pem)
        self._flags += [
            f"--kubeconfig={kubeconfig}",
            f"--kubelet-certificate-authority={authority}",
            "--bind-address=127.0.0.1",
            "--service-namespace=kube-system",
        ]
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.direct = httpx.AsyncClient(verify=context, trust_env=False, timeout=5.0)
        self.admin = self.client(self.api.add_user(ADMIN, ("system:masters",)))
        self._service = await self._stack.enter_async_context(
            ServiceForwarder("metrics-server", lambda: self.endpoints)
        )
        duties = (self._probe_replicas(), self._follow_endpoints())
        self._following = [asyncio.create_task(duty) for duty in duties]
        return self

    async def __aexit__(self, *_):
        for task in self._following:
            task.cancel()
        for replica in self.replicas:
            with contextlib.suppress(ProcessLookupError):
                replica.kill()
            await replica.process.wait()
        await self._stack.aclose()
        await self.direct.aclose()
        await self.admin.aclose()
        await self.kubelets.stop()
        await self.api.stop()

    def client(self, token):
        """A client of the API server with a user's token."""
        context = ssl.create_default_context(cadata=self.api.ca.pem.decode())
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(
            base_url=self.api.url, verify=context, headers=headers, trust_env=False, timeout=20.0
        )

    async def add_node(self, number, pods=3, **options):
        """A node with its kubelet and its running pods; `options` are the kubelet's source's."""
        node = synthetic_node(number, pods, 2)
        kubelet = await self.kubelets.start(SyntheticSource(node, time.time() - 3600, **options))
        self.add_node_at(node.name, kubelet.port)
        for pod in node.pods:
            names = [name for name, _, _ in pod.containers]
            self.cluster.apply(
                "pods", pod_object(pod.namespace, pod.name, node.name, names, pod.labels)
            )
        return node

    def add_node_at(self, name, port):
        item = node_object(name, {}, port, cores=8, memory=2**35, info={})
        self.cluster.apply("nodes", item)

    def audit(self, monkeypatch):
        """Note what the server asks for and the answer, in `asked`, from now on."""
        decide = apiserver.allowed

        def noting(cluster, user, asked):
            answer = decide(cluster, user, asked)
            if cluster is self.cluster and user.name == ACCOUNT:
                self.asked.append((asked, answer))
            return answer

        monkeypatch.setattr(apiserver, "allowed", noting)

    async def start_replica(self, *flags, rendered=None, prefix=()):
        """Start a server with the rendered flags, and later ones that win over them.

        `prefix` is a command that runs the one that follows.
        """
        number = len(self.replicas)
        directory = self.directory / f"replica-{number}"
        directory.mkdir()
        rendered = args(self.objects) if rendered is None else rendered
        kept = [flag for flag in rendered if not flag.startswith(OWN)]
        command = [*prefix, sys.executable, "-m", "metricsapi", "serve", *kept, *self._flags]
        command += ["--secure-port=0", f"--cert-dir={directory}", *flags]
        return await self.start(command, directory / "log")

    async def start(self, command, log, port=0):
        """Run a command that becomes a replica; without `port` its log names the port."""
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **self.service_environment},
            )
        replica = Replica(process, port, log)
        self.replicas.append(replica)
        if port:
            return replica
        await until(lambda: _port(replica), seconds=30, what=f"listening: {log}")
        replica.port = _port(replica)
        return replica

    async def ready(self, *replicas, seconds=30):
        """Wait until replicas are endpoints of the Service, and requests are sent to them."""
        await until(
            lambda: all(each.ready for each in replicas) and self.available() and self.trusted(),
            seconds=seconds,
            what="ready:\n" + "\n".join(each.log.read_text()[-2000:] for each in replicas),
        )

    def available(self, name="v1beta1.metrics.k8s.io"):
        item = self.cluster.get("apiservices", name) or {}
        conditions = item.get("status", {}).get("conditions", [])
        return [each["status"] for each in conditions if each["type"] == "Available"] == ["True"]

    def trusted(self, name="v1beta1.metrics.k8s.io"):
        """Return whether the API server can verify the server, or does without."""
        spec = (self.cluster.get("apiservices", name) or {}).get("spec", {})
        return bool(spec.get("caBundle") or spec.get("insecureSkipTLSVerify"))

    def decide(self, token, subresource):
        user = self.api.tokens.get(token)
        if user is None:
            return 401
        asked = Attributes("get", "", "nodes", subresource)
        answer = allowed(self.cluster, user, asked)
        self.asked.append((asked, answer))
        return 200 if answer else 403

    async def _probe_replicas(self):
        while True:
            for replica in self.replicas:
                replica.ready = bool(replica.port) and await self._probe(replica)
            await asyncio.sleep(self.probe_period)

    async def _follow_endpoints(self):
        """Keep the Service's endpoints those replicas whose readiness probe succeeds.

        Apart from the probes, which take their time, and a replica that leaves has little.
        """
        while True:
            await self.route(
                [
                    ("127.0.0.1", each.port)
                    for each in self.replicas
                    if each.ready
                    and time.monotonic() < each.leaving_since + each.lag
                    and self.selects(each)
                ]
            )
            await asyncio.sleep(0.02)

    @property
    def service_environment(self):
        """What a kubelet tells a pod of the Service."""
        return self._service.environment

    @property
    def endpoints(self):
        """The addresses behind the Service."""
        return self.api.aggregator.endpoints.get(SERVICE, [])

    async def route(self, addresses):
        """Let the Service lead to these addresses."""
        self.api.aggregator.endpoints[SERVICE] = addresses

    async def _probe(self, replica):
        if replica.process.returncode is not None:
            return False
        if time.monotonic() > replica.leaving_since:
            return replica.ready  # its end began: no longer probed, and soon no endpoint
        with contextlib.suppress(httpx.HTTPError):
            return (await replica.get(self.direct, "/readyz")).status_code == 200
        return False


def _port(replica):
    """The port that its log names, or 0 as long as it names none."""
    text = replica.log.read_text()
    assert replica.process.returncode is None, text
    match = re.search(r"listening on \S+ port (\d+)\W", text)
    return int(match[1]) if match else 0
