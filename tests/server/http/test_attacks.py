"""Smuggling, odd targets, floods and slowness: refused, and the next caller is served."""

import asyncio
import contextlib

import pytest

from metricsapi.server.auth.in_flight import InFlightLimit
from tests.server.http.attacks import ATTACKS, LIMITS
from tests.server.serving import GOOD_PATH, configmap, serving
from tests.support.conditions import until
from tests.support.https_client import connect
from tests.support.pki import Authority

FRONT = Authority("front-proxy-ca")
PROXY = FRONT.issue("front-proxy-client")
ALICE = {"X-Remote-User": "alice"}


def allows(spec):
    return spec["user"] == "alice"


@contextlib.asynccontextmanager
async def limited_server(**options):
    async with serving(configmap(FRONT), limits=LIMITS, **options) as running:
        running.reviewer.allows = allows
        yield running


async def served(running):
    async with connect(running.port, PROXY) as connection:
        return (await connection.request(GOOD_PATH, headers=ALICE)).status == 200


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.section}: {attack.name}")
async def test_an_attack_is_refused_and_others_are_served(attack):
    async with limited_server() as running:
        async with connect(running.port) as connection:
            assert await attack.run(connection) == attack.outcome
        assert await served(running)


async def test_idle_connections_make_room_for_new_ones():
    """More of them than there may be: the longest idle are closed, and a caller gets in."""
    async with limited_server() as running, contextlib.AsyncExitStack() as idle:
        for _ in range(LIMITS.connections + 5):
            await idle.enter_async_context(connect(running.port))
        assert await served(running)


async def test_too_many_requests_get_a_retry_after_and_probes_are_served():
    release = asyncio.Event()
    waiting = []

    async def slow(scope, _receive, send):
        if scope["path"] == GOOD_PATH:
            waiting.append(scope)
            await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with (
        limited_server(in_flight=InFlightLimit(3), app=slow) as running,
        contextlib.AsyncExitStack() as stack,
    ):
        for _ in range(3):
            connection = await stack.enter_async_context(connect(running.port, PROXY))
            lines = f"GET {GOOD_PATH} HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\n\r\n"
            await connection.send(lines.encode())
        await until(lambda: len(waiting) == 3)
        async with connect(running.port, PROXY) as one_more:
            answer = await one_more.request(GOOD_PATH, headers=ALICE)
            assert answer.status == 429
            assert int(answer.header("retry-after")) >= 1
        async with connect(running.port) as kubelet:
            assert (await kubelet.request("/healthz")).status == 200
        probe = {"X-Remote-User": "system:kube-aggregator", "X-Remote-Group": "system:masters"}
        async with connect(running.port, PROXY) as aggregator:
            answer = await aggregator.request("/apis/metrics.k8s.io/v1beta1", headers=probe)
            assert answer.status == 200
        release.set()
