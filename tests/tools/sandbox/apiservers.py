"""A running stand-in API server, clients of it, and a server behind it that notes what it gets."""

import asyncio
import contextlib
import itertools
import json
import ssl

import httpx

from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import Credentials
from metricsapi.tools.sandbox.apiserver import ApiServer
from metricsapi.tools.sandbox.pki import SERVER, load_pair, server_context
from metricsapi.tools.sandbox.state import Cluster
from metricsapi.tools.sandbox.users import ADMIN

MASTERS = ("system:masters",)
V1BETA1 = "v1beta1.metrics.k8s.io"


@contextlib.asynccontextmanager
async def running():
    """An API server over an empty cluster."""
    api = ApiServer(Cluster())
    await api.start()
    try:
        yield api
    finally:
        await api.stop()


def trusting(api, issued=None):
    """The context of a client of the API server, with a certificate of its own if it has one."""
    context = ssl.create_default_context(cadata=api.ca.pem.decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if issued is not None:
        load_pair(context, issued)
    return context


def client(api, token="", issued=None, **options):
    """An HTTP client with a bearer token, a certificate, or as nobody."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(
        base_url=api.url, verify=trusting(api, issued), headers=headers, trust_env=False, **options
    )


def admin(api, **options):
    return client(api, api.add_user(ADMIN, MASTERS), **options)


def product_client(api, name="system:serviceaccount:kube-system:metrics-server", groups=MASTERS):
    """The product's own client."""
    token = api.add_user(name, groups)
    return KubeClient(Credentials(api.url, trusting(api), lambda: token, "test"))


def node(name, **labels):
    return {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": {}}


def pod(namespace, name, phase="Running", node="", **labels):
    return {
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {"nodeName": node},
        "status": {"phase": phase},
    }


def api_service(version="v1beta1", **spec):
    """An APIService of metrics.k8s.io; its Service is kube-system/metrics-server."""
    return {
        "metadata": {"name": f"{version}.metrics.k8s.io"},
        "spec": {
            "service": {"name": "metrics-server", "namespace": "kube-system", "port": 443},
            "group": "metrics.k8s.io",
            "version": version,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            **spec,
        },
    }


def register(api, port, **spec):
    """Make the Service with one endpoint, and its APIService."""
    metadata = {"name": "metrics-server", "namespace": "kube-system"}
    api.cluster.apply("services", {"metadata": metadata, "spec": {}})
    api.aggregator.endpoints["kube-system", "metrics-server"] = [("127.0.0.1", port)]
    api.cluster.apply("apiservices", api_service(**spec))


def condition(api, name=V1BETA1):
    """The Available condition as (status, reason)."""
    found = (api.cluster.get("apiservices", name) or {}).get("status", {}).get("conditions")
    return (found[0]["status"], found[0]["reason"]) if found else None


class Noting:
    """A TLS server that notes requests as they come, header names and order included.

    `answers` maps a target to (status, headers, body); anything else is answered with `{}`.
    """

    def __init__(self, authority, names=("metrics-server.kube-system.svc",)):
        self.requests = []
        self.peers = []
        self.connections = 0
        self.answers = {}
        self.drop_next = False  # close a kept connection at its next request
        issued = authority.issue("server", usages=(SERVER,), names=names)
        self._context = server_context(issued)

    def believe(self, authority):
        """Ask clients for certificates of an authority."""
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_verify_locations(cadata=authority.pem.decode())

    async def __aenter__(self):
        self._tasks = set()
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", 0, ssl=self._context
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader, writer):
        self.connections += 1
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            for earlier in itertools.count():
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                if earlier and self.drop_next:
                    self.drop_next = False
                    break
                method, target, _ = head[0].split(" ")
                headers = [tuple(line.split(": ", 1)) for line in head[1:] if line]
                length = int(dict(headers).get("Content-Length", 0))
                body = await reader.readexactly(length)
                self.requests.append((method, target, headers, body))
                self.peers.append(writer.get_extra_info("peercert"))
                code, told, content = self.answers.get(target, (200, {}, {}))
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                told = {"Content-Type": "application/json", "Content-Length": len(content), **told}
                lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
                writer.write(f"HTTP/1.1 {code} X\r\n{lines}\r\n".encode() + content)
                await writer.drain()
        writer.close()

    def to(self, target):
        """The headers of the requests to a target."""
        return [headers for _, path, headers, _ in self.requests if path == target]
