"""A scripted kubelet, and what reads it as the server does."""

import json
import time

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.credentials import Credentials
from metricsapi.kube.identity import Identity
from metricsapi.kube.resources import Address, Node
from metricsapi.kube.tls import ClientTLS
from metricsapi.scrape.direct import DirectFetcher
from metricsapi.scrape.kubelet import KubeletClient
from metricsapi.scrape.targets import target_of
from metricsapi.scrape.tls import kubelet_tls
from metricsapi.storage.types import NodeSample
from tests.support.listener import Listener, http
from tests.support.pki import SERVER, Authority, server_context

CLUSTER = Authority("kubernetes")


def summary(node, pods=1):
    """The least that a kubelet says of itself and its pods, as JSON."""
    stat = {
        "cpu": {
            "time": "2026-11-23T10:00:00Z",
            "usageNanoCores": 10**8,
            "usageCoreNanoSeconds": 10**12,
        },
        "memory": {"time": "2026-11-23T10:00:00Z", "workingSetBytes": 2**24},
        "startTime": "2026-11-23T09:00:00Z",
    }
    listed = [
        {
            "podRef": {"name": f"p{i}", "namespace": "default", "uid": str(i)},
            "containers": [{"name": "c", **stat}],
        }
        for i in range(pods)
    ]
    return json.dumps({"node": {"nodeName": node, **stat}, "pods": listed}).encode()


class Kubelet(Listener):
    """A kubelet whose answers are the test's, by default the least Summary of `node`.

    `certificate` is one for this name of CLUSTER, or a certificate; None is plain HTTP.
    """

    def __init__(
        self, answer=None, *, node="n1", certificate="127.0.0.1", host="127.0.0.1", port=None
    ):
        if isinstance(certificate, str):
            certificate = CLUSTER.issue("system:node", usages=(SERVER,), names=[certificate])
        tls = certificate and server_context(certificate)
        super().__init__(answer or (lambda _: http(summary(node))), tls=tls, host=host, port=port)
        self.node = node


def node(name="n1", *hosts, labels=None, annotations=None, ready=True):
    addresses = tuple(Address("InternalIP", host) for host in hosts or ("127.0.0.1",))
    return Node(name, labels or {}, annotations or {}, addresses, None, ready)


def direct(settings, *, authority=CLUSTER, identity=None):
    """A fetcher that trusts the tests' cluster CA."""
    identity = identity or Identity("token")
    tls = ClientTLS(lambda: authority.text if authority else None, identity.certificate)
    credentials = Credentials("https://127.0.0.1", tls, identity, "test")
    return DirectFetcher(settings, kubelet_tls(settings, credentials), identity)


def client(settings, *, fetcher=None, decoders=None, **kwargs):
    return KubeletClient(settings, fetcher or direct(settings, **kwargs), **(decoders or {}))


class Reader:
    """Scrapes one kubelet as the pool does: `await reader()` gives a sample or a failure."""

    def __init__(self, kubelet, *, seconds=5.0, target=None, **options):
        options.setdefault("port", kubelet.port)
        kwargs = {
            key: options.pop(key) for key in ("authority", "identity", "decoders") if key in options
        }
        self.settings = KubeletSettings(**options)
        self.client = client(self.settings, **kwargs)
        self.target = target or target_of(node(kubelet.node, kubelet.host), self.settings)
        self.seconds = seconds

    async def __call__(self):
        return await self.client.scrape(self.target, time.monotonic() + self.seconds)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.client.close()


def is_sample(result):
    return isinstance(result, NodeSample)
