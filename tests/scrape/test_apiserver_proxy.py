"""Nodes read through the API server, where pods cannot reach kubelets."""

import asyncio
import time

import pytest

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.credentials import Credentials
from metricsapi.kube.identity import Identity
from metricsapi.kube.tls import ClientTLS
from metricsapi.scrape.apiserver_proxy import ProxyFetcher
from metricsapi.scrape.errors import Cause
from metricsapi.scrape.kubelet import KubeletClient, kubelet_client
from metricsapi.scrape.targets import Target
from tests.support.conditions import until
from tests.support.kubelet import CLUSTER, Kubelet, http, is_sample, summary

SETTINGS = KubeletSettings(transport="apiserver-proxy", max_response_bytes=2**19)


def credentials(server):
    tls = ClientTLS(lambda: CLUSTER.text)
    return Credentials(f"https://127.0.0.1:{server.port}", tls, Identity("token"), "test")


async def read(server, node="n1", seconds=5.0, client=None):
    client = client or kubelet_client(SETTINGS, credentials(server))
    try:
        return await client.scrape(Target(node, (), 10250), time.monotonic() + seconds)
    finally:
        client.close()
        await asyncio.sleep(0.01)  # it closes its connections in a task


async def test_a_node_is_read_through_the_api_server_without_its_address():
    async with Kubelet() as server:
        assert is_sample(await read(server))
        (request,) = server.requests
        path = "/api/v1/nodes/n1/proxy/stats/summary?only_cpu_and_memory=true"
        assert request.line == f"GET {path} HTTP/1.1"
        assert request.headers["authorization"] == "Bearer token"


async def test_the_request_counts_from_when_it_is_written_not_from_the_connecting():
    async with Kubelet() as server:
        begun = time.monotonic()
        sample = await read(server)
        assert sample.requested_at - begun > 0.001  # the TLS handshake came before
        assert sample.requested_at < sample.answered_at < time.monotonic()


@pytest.mark.parametrize(
    ("answer", "cause", "said"),
    [
        (lambda _: http(b"nodes/proxy is forbidden", 403), Cause.FORBIDDEN, '["nodes/proxy"]'),
        (lambda _: http(b"error trying to reach service", 503), Cause.API_SERVER, "reach service"),
        (lambda _: http(b'nodes "n1" not found', 404), Cause.NOT_FOUND, "not found"),
        (lambda _: None, Cause.API_SERVER, "cannot be asked"),
        (lambda _: http(b"x" * 2**20), Cause.TOO_LARGE, "more than"),
        (lambda _: http(b"{"), Cause.DECODE, "not a Summary"),
    ],
)
async def test_what_the_api_server_refuses_is_told(answer, cause, said):
    async with Kubelet(answer) as server:
        failure = await read(server)
        assert failure.cause is cause
        assert said in failure.message


async def test_a_hanging_node_ends_at_the_deadline():
    async def hang(_, writer):
        await asyncio.sleep(60)

    async with Kubelet(hang) as server:
        assert (await read(server, seconds=0.3)).cause is Cause.TIMEOUT


async def test_an_api_server_that_is_away_is_told():
    async with Kubelet() as server:
        pass
    assert (await read(server)).cause is Cause.API_SERVER


async def test_no_more_connections_than_the_bound():
    waiting = asyncio.Event()

    async def answer(request, writer):
        await waiting.wait()
        name = request.path.split("/")[4]
        writer.write(http(summary(name)))

    async with Kubelet(answer) as server:
        bound = SETTINGS.concurrency + SETTINGS.failed_concurrency
        fetcher = ProxyFetcher(SETTINGS, credentials(server))
        client = KubeletClient(SETTINGS, fetcher)
        reads = [
            asyncio.create_task(client.scrape(Target(f"n{i}", (), 1), time.monotonic() + 20))
            for i in range(3 * bound)
        ]
        await until(lambda: len(server.requests) == bound)
        waiting.set()
        assert all(is_sample(one) for one in await asyncio.gather(*reads))
        assert server.connections <= bound
        client.close()
        await until(lambda: not server.open)
