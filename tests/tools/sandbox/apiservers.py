"""A running stand-in API server, clients of it, and a server behind it that notes what it gets."""

import contextlib
import json
import ssl
import weakref

import httpx

from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import Credentials
from metricsapi.kube.identity import Identity
from metricsapi.kube.tls import ClientTLS
from metricsapi.tools.sandbox.apiserver import ApiServer
from metricsapi.tools.sandbox.pki import SERVER, load_pair, server_context
from metricsapi.tools.sandbox.state import Cluster
from metricsapi.tools.sandbox.users import ADMIN
from tests.support.listener import Listener

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
    return KubeClient(credentials(api, api.add_user(name, groups)))


def credentials(api, token):
    """The product's credentials for this API server."""
    authority = api.ca.pem.decode()
    return Credentials(api.url, ClientTLS(lambda: authority), Identity(token), "test")


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
    conditions = (api.cluster.get("apiservices", name) or {}).get("status", {}).get("conditions")
    return (conditions[0]["status"], conditions[0]["reason"]) if conditions else None


class Noting(Listener):
    """A TLS server that notes requests as they come, header names and order included.

    `answers` maps a target to (status, headers, body); anything else is answered with `{}`.
    """

    def __init__(self, authority, names=("metrics-server.kube-system.svc",)):
        issued = authority.issue("server", usages=(SERVER,), names=names)
        super().__init__(tls=server_context(issued))
        self.answers = {}
        self.drop_next = False  # close a kept connection at its next request
        self._kept = weakref.WeakSet()  # connections that have had an answer

    def believe(self, authority):
        """Ask clients for certificates of an authority."""
        self.tls.verify_mode = ssl.CERT_REQUIRED
        self.tls.load_verify_locations(cadata=authority.text)

    async def respond(self, request, writer):
        if self.drop_next and writer in self._kept:
            self.drop_next = False
            return False
        self._kept.add(writer)
        code, headers, content = self.answers.get(request.target, (200, {}, {}))
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = {"Content-Type": "application/json", "Content-Length": len(content), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {code} X\r\n{lines}\r\n".encode() + content)
        return True

    def to(self, target):
        """The headers of the requests to a target."""
        return [request.pairs for request in self.requests if request.target == target]
