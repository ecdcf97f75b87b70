"""Connections whose clients send nothing: bounded, and in nobody's way."""

import asyncio
import socket
import time

import pytest
import uvloop

from metricsapi.config.limits import LimitSettings
from metricsapi.server.http.acceptor import Acceptor
from metricsapi.server.http.refusal_log import RefusalLog
from metricsapi.server.tls.context import ServingTLS
from metricsapi.server.tls.issue import make_serving
from tests.support.conditions import until
from tests.support.pki import client_context

PAIR = make_serving(["localhost"], ["127.0.0.1"], now=time.time(), lifetime=3600)


class Greeting(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(b"hello")
        transport.close()


class Listening:
    """An acceptor on a free port, with at most 8 handshakes under way."""

    def __init__(self, protocol=Greeting, **limits):
        self.reasons = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.acceptor = Acceptor(
            self.socket,
            protocol,
            ServingTLS(PAIR).context,
            LimitSettings(**limits),
            RefusalLog(self.reasons.append),
            handshakes=8,
        )

    async def __aenter__(self):
        self.acceptor.start()
        return self

    async def __aexit__(self, *_):
        self.acceptor.close()
        self.socket.close()
        await self.acceptor.wait_closed()

    async def greeting(self):
        """What a client gets that does speak TLS."""
        port = self.socket.getsockname()[1]
        context = client_context(None)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        try:
            return await reader.read()
        finally:
            writer.close()

    def silent(self, number):
        """Clients that connect and send nothing."""
        return [socket.create_connection(self.socket.getsockname()) for _ in range(number)]


async def ended(client):
    """Wait until the server has closed this client's connection."""
    client.setblocking(False)
    try:
        assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
    except ConnectionError:
        pass
    finally:
        client.close()


async def silent_clients_give_way_to_others():
    async with Listening() as listening:
        clients = listening.silent(20)
        async with asyncio.timeout(20):
            for client in clients[:12]:  # those that came first
                await ended(client)
            assert await listening.greeting() == b"hello"
        # 12 for each other, and one for the client that speaks.
        assert listening.reasons == ["too_many_handshakes"] * 13
        for client in clients[12:]:
            client.close()


async def silent_clients_are_gone_after_their_time():
    async with Listening(header_timeout=0.2) as listening, asyncio.timeout(20):
        for client in listening.silent(3):
            await ended(client)


async def what_is_no_tls_is_closed_and_forgotten():
    async with Listening() as listening, asyncio.timeout(20):
        for sent in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" * 10, b"\x00"):
            (client,) = listening.silent(1)
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            client.setblocking(False)
            received = True
            while received:  # an alert of TLS, perhaps
                received = await asyncio.get_running_loop().sock_recv(client, 1024)
            client.close()
        assert await listening.greeting() == b"hello"


async def a_protocol_that_fails_ends_its_own_connection_alone():
    protocols = iter([None])

    def failing():
        if next(protocols, "none left") is None:
            raise RuntimeError("a fault of ours")
        return Greeting()

    async with Listening(failing) as listening, asyncio.timeout(20):
        (client,) = listening.silent(1)
        await ended(client)
        assert await listening.greeting() == b"hello"


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    "scenario",
    [
        silent_clients_give_way_to_others,
        silent_clients_are_gone_after_their_time,
        what_is_no_tls_is_closed_and_forgotten,
        a_protocol_that_fails_ends_its_own_connection_alone,
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_acceptor(scenario, run):
    run(scenario())


async def test_without_files_it_waits_and_goes_on(monkeypatch, caplog):
    async with Listening() as listening, asyncio.timeout(20):
        failures = iter([OSError(24, "Too many open files")])
        accept = socket.socket.accept

        def failing(self):
            for failure in failures:
                raise failure
            return accept(self)

        monkeypatch.setattr(socket.socket, "accept", failing)
        assert await listening.greeting() == b"hello"
        await until(lambda: "cannot accept connections" in caplog.messages)
