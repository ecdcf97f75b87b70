"""The client as the server builds it, against stand-in kubelets: both endpoints, decoded."""

import time

import pytest

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.credentials import Credentials
from metricsapi.kube.identity import Identity
from metricsapi.kube.resources import Address, Node
from metricsapi.kube.tls import ClientTLS
from metricsapi.scrape.errors import Failure
from metricsapi.scrape.kubelet import kubelet_client
from metricsapi.scrape.targets import target_of
from metricsapi.tools.sandbox.kubelets import Kubelets
from metricsapi.tools.sandbox.pki import Authority
from metricsapi.tools.sandbox.serving import Certificates
from metricsapi.tools.sandbox.synthetic import synthetic_node
from metricsapi.tools.sandbox.template import SyntheticSource


async def read(may, endpoint):
    """Read a node whose kubelet lets us read what is in `may`."""
    authority = Authority("ca")
    kubelets = Kubelets(Certificates(authority), lambda _, sub: 200 if sub in may else 403)
    source = SyntheticSource(synthetic_node(1, 3, 2), time.time() - 3600)
    kubelet = await kubelets.start(source)
    settings = KubeletSettings(endpoint=endpoint)
    credentials = Credentials(
        "https://unused", ClientTLS(lambda: authority.text), Identity("t"), "test"
    )
    client = kubelet_client(settings, credentials)
    addresses = (Address("InternalIP", kubelet.address),)
    node = Node(source.name, {}, {}, addresses, kubelet.port, ready=True)
    settings_with_port = KubeletSettings(endpoint=endpoint, port=kubelet.port)
    try:
        target = target_of(node, settings_with_port)
        return await client.scrape(target, time.monotonic() + 10), client.endpoint(target)
    finally:
        client.close()
        await kubelets.stop()


@pytest.mark.parametrize(
    ("may", "endpoint", "used", "step"),
    [
        (("stats", "metrics"), "auto", "summary", 1.0),
        (("metrics",), "auto", "resource", 0.001),
        (("stats", "metrics"), "resource", "resource", 0.001),
        (("stats",), "summary", "summary", 1.0),
    ],
)
async def test_what_may_be_read_is_read(may, endpoint, used, step):
    sample, read_from = await read(may, endpoint)
    assert not isinstance(sample, Failure), sample
    assert (read_from, sample.time_step) == (used, step)
    assert sum(len(pod.containers) for pod in sample.pods) == 6
    assert sample.stats.cpu.usage_core_nano_seconds > 0


@pytest.mark.parametrize("endpoint", ["auto", "summary", "resource"])
async def test_what_may_not_be_read_is_named(endpoint):
    failure, _ = await read((), endpoint)
    wanted = {"summary": ["nodes/stats"], "resource": ["nodes/metrics"]}
    for right in wanted.get(endpoint, ["nodes/stats", "nodes/metrics"]):
        assert right in failure.message
