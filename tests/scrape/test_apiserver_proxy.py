"""Nodes read through the API server, where pods cannot reach kubelets."""

import asyncio
import gzip
import os
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
    ("answer", "cause", "text"),
    [
        (lambda _: http(b"nodes/proxy is forbidden", 403), Cause.FORBIDDEN, '["nodes/proxy"]'),
        (lambda _: http(b"error trying to reach service", 503), Cause.API_SERVER, "reach service"),
        (lambda _: http(b'nodes "n1" not found', 404), Cause.NOT_FOUND, "not found"),
        (lambda _: None, Cause.API_SERVER, "the request to the API server failed"),
        (lambda _: http(b"x" * 2**20), Cause.TOO_LARGE, "more than"),
        (lambda _: http(b"{"), Cause.DECODE, "not a Summary"),
    ],
)
async def test_what_the_api_server_refuses_is_named(answer, cause, text):
    async with Kubelet(answer) as server:
        failure = await read(server)
        assert failure.cause is cause
        assert text in failure.message


async def test_a_hanging_node_ends_at_the_deadline():
    async def hang(_, writer):
        await asyncio.sleep(60)

    async with Kubelet(hang) as server:
        assert (await read(server, seconds=0.3)).cause is Cause.TIMEOUT


async def test_an_api_server_that_is_away_is_named():
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
        assert all(is_sample(result) for result in await asyncio.gather(*reads))
        assert server.connections <= bound
        client.close()
        await until(lambda: not server.open)


async def test_after_a_429_nothing_is_asked_until_its_time_has_passed():
    limited = http(b"too many requests", 429, headers=["Retry-After: 1"])
    async with Kubelet(lambda _: limited) as server:
        client = kubelet_client(SETTINGS, credentials(server))
        first = await client.scrape(Target("n1", (), 1), time.monotonic() + 5)
        refused_at = time.monotonic()
        assert first.cause is Cause.TOO_MANY_REQUESTS
        server.answer = lambda request: http(summary(request.path.split("/")[4]))
        early = await client.scrape(Target("n2", (), 1), time.monotonic() + 0.3)
        assert early.cause is Cause.TOO_MANY_REQUESTS
        assert "takes requests again in" in early.message
        assert len(server.requests) == 1
        assert is_sample(await client.scrape(Target("n2", (), 1), time.monotonic() + 5))
        assert time.monotonic() - refused_at > 0.9
        client.close()
        await until(lambda: not server.open)


async def test_one_kubelet_that_limits_requests_does_not_stop_the_others_for_good():
    """Its 429 looks like one of the API server: the others wait after the first one alone."""

    def answer(request):
        name = request.path.split("/")[4]
        limited = http(b"slow down", 429, headers=["Retry-After: 1"])
        return limited if name == "n1" else http(summary(name))

    async with Kubelet(answer) as server:
        client = kubelet_client(SETTINGS, credentials(server))

        async def scrape(node, seconds):
            return await client.scrape(Target(node, (), 1), time.monotonic() + seconds)

        for seconds in (5.0, 0.9):  # the second time there is no pause to wait for
            assert (await scrape("n1", 5.0)).cause is Cause.TOO_MANY_REQUESTS
            assert is_sample(await scrape("n2", seconds))
        client.close()
        await until(lambda: not server.open)


async def test_gzip_through_the_api_server_is_undone_within_bounds():
    good = http(gzip.compress(summary("n1")), headers=["Content-Encoding: gzip"])
    bomb = http(gzip.compress(bytes(2**22)), headers=["Content-Encoding: gzip"])
    async with Kubelet(lambda _: good) as server:
        assert is_sample(await read(server))
        server.answer = lambda _: bomb
        assert (await read(server)).cause is Cause.TOO_LARGE


async def test_tls_that_breaks_within_an_answer_is_a_failure_of_the_api_server():
    """httpx lets ssl.SSLError through once a connection is up."""

    async def answer(_, writer):
        os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))
        await asyncio.sleep(0.2)

    async with Kubelet(answer) as server:
        failure = await read(server)
        assert failure.cause is Cause.API_SERVER
        assert "the request to the API server failed" in failure.message
