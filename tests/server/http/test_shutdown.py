"""Leaving: serve on through the delay, finish what is in flight, close, and wait for nobody."""

import asyncio
import socket
import ssl
import time
from dataclasses import replace

import pytest

from metricsapi.config.limits import LimitSettings
from metricsapi.config.serving import ServingSettings
from metricsapi.server.http.server import Server
from tests.server.serving import PATHS, configmap, serving
from tests.support.conditions import until
from tests.support.https_client import connect
from tests.support.pki import client_context


async def ok(send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_requests_are_served_through_the_delay_and_then_no_more():
    async with serving(configmap(), shutdown_delay=0.5) as running:
        port = running.port
        running.server.begin_shutdown()
        async with connect(port) as connection:
            answer = await connection.request(PATHS[0])
            assert answer.status == 200
            assert answer.header("connection") == "close"
            await connection.closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_request_in_flight_is_finished():
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(_scope, _receive, send):
        entered.set()
        await release.wait()
        await ok(send)

    async with serving(configmap(), app=slow) as running, connect(running.port) as connection:
        asked = asyncio.create_task(connection.request(PATHS[0]))
        await entered.wait()
        running.server.begin_shutdown()
        await until(running.server.leaving.is_set)
        release.set()
        assert (await asked).status == 200


async def test_a_peer_that_keeps_an_idle_connection_and_does_not_read_delays_nothing():
    """TLS would wait half a minute for its answer to our end."""
    async with asyncio.timeout(15):
        async with serving(configmap()) as running:
            peer = await asyncio.to_thread(_idle_peer, running.port)
            began = time.monotonic()
        peer.close()
    assert time.monotonic() - began < 10


def _idle_peer(port):
    """A kept-alive connection after one request, as a client's pool holds it."""

    raw = socket.create_connection(("127.0.0.1", port))
    tls = client_context(None).wrap_socket(raw, server_hostname="localhost")
    assert isinstance(tls, ssl.SSLSocket)
    tls.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert tls.recv(65536).startswith(b"HTTP/1.1 200")
    return tls


async def test_of_two_that_start_at_once_on_one_port_the_second_fails():
    """Both had bound the address, and the second failed later, with a traceback."""
    async with serving(configmap()) as running:
        limits, anywhere = LimitSettings(), ServingSettings(bind_address="127.0.0.1", port=0)
        first = Server(ok, tls=running.tls, serving=anywhere, limits=limits)
        with first.bind():
            same = replace(anywhere, port=first.port)
            second = Server(ok, tls=running.tls, serving=same, limits=limits)
            with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {first.port}: "):
                second.bind()


async def test_headers_of_every_answer_go_with_refusals_too():
    directives = ("max-age=1", "preload")
    async with serving(configmap(), strict_transport_security=directives) as running:
        for path, status in ((PATHS[0], 200), ("/metrics", 403), (f"/{'x' * 9000}", 414)):
            async with connect(running.port) as connection:
                answer = await connection.request(path)
                assert answer.status == status
                assert answer.header("strict-transport-security") == "max-age=1; preload"
