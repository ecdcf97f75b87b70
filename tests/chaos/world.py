"""The cluster under chaos: 50 kubelets and an API server behind relays, and the server itself.

The server is a process of its own; everything else runs in the test's.
"""

import asyncio
import contextlib
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from metricsapi.tools.sandbox.apiserver import ApiServer
from metricsapi.tools.sandbox.credentials import kubeconfig
from metricsapi.tools.sandbox.fleet import by_tokens
from metricsapi.tools.sandbox.kubelet import Kubelet
from metricsapi.tools.sandbox.kubelets import loopback
from metricsapi.tools.sandbox.objects import SERVER, install, node_object, pod_object
from metricsapi.tools.sandbox.processes import start_child
from metricsapi.tools.sandbox.serving import Certificates
from metricsapi.tools.sandbox.state import Cluster
from metricsapi.tools.sandbox.synthetic import SyntheticNode, synthetic_node
from metricsapi.tools.sandbox.template import SyntheticSource
from tests.chaos.clock import WallClock
from tests.support.conditions import until
from tests.support.pki import Authority, client_context
from tests.support.relay import Relay

NODES, PODS = 50, 4
RESOLUTION = 2.0  # seconds
LARGEST = 2 << 20  # bytes of a kubelet's response
TIMEOUT = 1.5  # seconds for one read of a node
API = "/apis/metrics.k8s.io/v1beta1"
ADMIN = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
CA_SECRET = "metrics-server-ca"
FILES = ("kubelet-ca.crt", "clients.crt", "front.crt")  # that the server reads again


class Source:
    """A synthetic node whose clock is `offset` seconds off, and whose responses may be changed.

    `change(body)` returns what is sent instead of a body.
    """

    def __init__(self, node):
        self.name = node.name
        self.offset = 0.0
        self.change = None
        self._synthetic = SyntheticSource(node, time.time() - 3600)

    def summary(self, now, *, full=False):
        return self._changed(self._synthetic.summary(now + self.offset, full=full))

    def exposition(self, now):
        return self._changed(self._synthetic.exposition(now + self.offset))

    def _changed(self, body):
        return self.change(body) if self.change else body


@dataclass
class Node:
    """One node: its kubelet, the relay before it, and in `truth` what it uses."""

    truth: SyntheticNode
    source: Source
    kubelet: Kubelet
    relay: Relay

    @property
    def name(self):
        return self.truth.name

    @property
    def index(self):
        return self.truth.index

    def objects(self):
        """Return the node and its pods as the API server has them: (plural, object)."""
        item = node_object(
            self.name,
            self.truth.labels,
            self.relay.port,
            cores=8,
            memory=2**35,
            info={},
            address=self.kubelet.address,
        )
        pods = [
            pod_object(
                pod.namespace, pod.name, self.name, [c for c, _, _ in pod.containers], pod.labels
            )
            for pod in self.truth.pods
        ]
        return [("nodes", item), *(("pods", pod) for pod in pods)]


class World:
    """`async with` it. `directory` holds every file that the server reads or writes."""

    def __init__(self, directory, *, nodes=NODES):
        self.directory = directory
        self.clock = WallClock(directory)  # the server's
        self.cluster = Cluster()
        self.api = ApiServer(self.cluster)
        self.front, self.clients = Authority("front-proxy"), Authority("clients")
        self.nodes = []
        self.port = 0
        self.process = None
        self._count = nodes
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self):
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()

    @property
    def log(self):
        return (self.directory / "server.log").read_text(errors="replace")

    def waited(self):
        """Return the seconds for which the server was ready to run and had no CPU (Linux)."""
        path = Path(f"/proc/{self.process.pid}/schedstat")
        return int(path.read_text().split()[1]) / 1e9 if path.exists() else 0.0

    def resident(self):
        """Return the resident bytes of the server."""
        return psutil.Process(self.process.pid).memory_info().rss

    def client(self, *, anonymous=False, fresh=False):
        """Return an HTTP client of the server: the front proxy for an admin, or nobody.

        With `fresh` each request has a connection of its own.
        """
        return httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{self.port}",
            verify=self.anonymous if anonymous else self.context,
            headers={} if anonymous else ADMIN,
            trust_env=False,
            timeout=10.0,
            limits=httpx.Limits(max_keepalive_connections=0 if fresh else 5),
        )

    def write(self, name, data=None):
        """Write one of FILES, with what belongs there if no other bytes are given."""
        (self.directory / name).write_bytes(self._contents[name] if data is None else data)

    async def _start(self):
        await self.api.start()
        self._stack.push_async_callback(self.api.stop)
        api_port = int(self.api.url.rpartition(":")[2])
        self.api_relay = await self._stack.enter_async_context(Relay(("127.0.0.1", api_port)))
        install(self.cluster, "node-0")
        token = self.api.add_user(SERVER, ("system:masters",))  # it may keep its Secret too
        secret = {"metadata": {"namespace": "kube-system", "name": CA_SECRET}, "data": {}}
        self.cluster.apply("secrets", secret)
        names = [(f"node-{i}", loopback(i)) for i in range(self._count)]
        certificates = Certificates(self.api.ca, names)
        decide = by_tokens({token: ["stats", "metrics"]})
        for i in range(self._count):
            await self._add_node(synthetic_node(i, PODS, 2), loopback(i), decide, certificates)
        url = f"https://127.0.0.1:{self.api_relay.port}"
        text = kubeconfig(url, self.api.ca.pem, SERVER, {"token": token})
        (self.directory / "kubeconfig").write_text(text)
        authorities = (self.api.ca, self.clients, self.front)
        self._contents = dict(zip(FILES, [authority.pem for authority in authorities], strict=True))
        for name in FILES:
            self.write(name)
        self.context = client_context(self.front.issue("front-proxy-client"))
        self.anonymous = client_context()
        await self._start_server()

    async def _add_node(self, truth, address, decide, certificates):
        source = Source(truth)
        kubelet = Kubelet(source, address, decide, certificates)
        port = await kubelet.start()
        self._stack.push_async_callback(kubelet.stop)
        relay = await self._stack.enter_async_context(Relay((address, port), listen=address))
        node = Node(truth, source, kubelet, relay)
        self.nodes.append(node)
        for plural, item in node.objects():
            self.cluster.apply(plural, item)

    async def _start_server(self):
        here = self.directory
        command = [
            *(sys.executable, "-m", "metricsapi", "serve", f"--kubeconfig={here / 'kubeconfig'}"),
            *("--secure-port=0", "--bind-address=127.0.0.1", f"--cert-dir={here / 'certificates'}"),
            *("--kubelet-use-node-status-port", "--kubelet-preferred-address-types=InternalIP"),
            f"--kubelet-certificate-authority={here / 'kubelet-ca.crt'}",
            f"--client-ca-file={here / 'clients.crt'}",
            f"--requestheader-client-ca-file={here / 'front.crt'}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            f"--metric-resolution={RESOLUTION:g}s",
            f"--kubelet-request-timeout={TIMEOUT * 1000:g}ms",
            f"--kubelet-max-response-bytes={LARGEST}",
            *("--manage-ca-bundle", "--service-namespace=kube-system"),
        ]
        with (here / "server.log").open("wb") as log:
            self.process = await start_child(
                *command,
                env={**os.environ, **self.clock.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._stack.push_async_callback(self._stop_server)
        pattern = re.compile(r"listening on \S+ port (\d+)\W")
        await until(
            lambda: pattern.search(self.log) or self.process.returncode is not None,
            seconds=30,
            what="listening",
        )
        match = pattern.search(self.log)
        assert match, self.log
        self.port = int(match[1])
        await self.api.connect("kube-system", "metrics-server", self.port)

    async def _stop_server(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), 10)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
