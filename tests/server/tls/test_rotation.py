"""Every certificate and authority is replaced under load, and no request fails for it."""

import asyncio
import contextlib
import socket
import ssl
import time

import pytest

from metricsapi.server.tls.issue import make_serving
from tests.server.serving import GOOD_PATH, configmap, serving
from tests.support.conditions import until
from tests.support.https_client import connect
from tests.support.pki import Authority, client_context

ALICE = {"X-Remote-User": "alice"}


class Load:
    """Callers without pause, each on a kept-alive connection and each now and then on a new one.

    `certificate` is what new connections show; the names seen and the failures are kept.
    """

    def __init__(self, running, certificate, headers):
        self.certificate = certificate
        self._running = running
        self._headers = headers
        self.served = 0
        self.failures = []

    async def __aenter__(self):
        self._tasks = [asyncio.create_task(self._ask(kept)) for kept in (1, 5, 10**6)]
        await self.more()
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def more(self, count=30):
        wanted = self.served + count
        await until(lambda: self.served >= wanted or self.failures, what="more requests")

    async def _ask(self, kept):
        while True:
            shown = self.certificate
            async with connect(self._running.port, shown) as connection:
                for _ in range(kept):
                    if self.certificate is not shown:
                        break  # as the front proxy does when it has a new certificate
                    answer = await connection.request(GOOD_PATH, headers=self._headers)
                    if answer.status != 200:
                        self.failures.append(answer)
                        return
                    self.served += 1


@contextlib.asynccontextmanager
async def under_load(authority, issue, route, headers):
    """A server whose ConfigMap trusts `authority` by `route`, and callers that use it."""
    async with serving(configmap(**{route: authority})) as running:
        running.reviewer.allows = lambda spec: spec["user"] in ("alice", "bob")
        async with Load(running, issue(authority), headers) as load:
            yield running, load


def proxy(authority):
    return authority.issue("front-proxy-client")


def bob(authority):
    return authority.issue("bob")


ROUTES = [(proxy, "front", ALICE), (bob, "clients", {})]


async def test_the_serving_certificate_is_replaced():
    old = Authority("front-proxy-ca")
    async with under_load(old, proxy, "front", ALICE) as (running, load):
        before = await _serial(running)
        for _ in range(5):
            pair = make_serving(["localhost"], ["127.0.0.1"], now=time.time(), lifetime=3600)
            running.tls.present(pair)
            await load.more()
        assert await _serial(running) != before
    assert load.failures == []


@pytest.mark.parametrize(("issue", "route", "headers"), ROUTES)
async def test_an_authority_is_replaced_with_overlap(issue, route, headers):
    old, new = Authority("ca"), Authority("ca-next")
    async with under_load(old, issue, route, headers) as (running, load):
        running.configure(configmap(**{route: old.text + new.text}))
        await load.more()
        load.certificate = issue(new)
        await load.more(60)
        running.configure(configmap(**{route: new}))
        await load.more(60)
    assert load.failures == []


@pytest.mark.parametrize(("issue", "route", "headers"), ROUTES)
async def test_a_removed_authority_is_refused_on_connections_that_are_open(issue, route, headers):
    old, new = Authority("ca"), Authority("ca-next")
    async with serving(configmap(**{route: old})) as running:
        running.reviewer.allows = lambda _: True
        async with connect(running.port, issue(old)) as connection:
            assert (await connection.request(GOOD_PATH, headers=headers)).status == 200
            running.configure(configmap(**{route: new}))
            assert (await connection.request(GOOD_PATH, headers=headers)).status == 401


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(("issue", "route", "headers"), ROUTES)
async def test_a_removed_authority_is_refused_on_resumed_connections(
    issue, route, headers, version
):
    """A resumed session has no certificates of its own: whoever tries is checked all the same."""
    old, new = Authority("ca"), Authority("ca-next")
    async with serving(configmap(**{route: old})) as running:
        running.reviewer.allows = lambda _: True
        context = client_context(issue(old), version=version)
        first, session = await _resuming(running.port, context, None, headers)
        again, _ = await _resuming(running.port, context, session, headers)
        assert (first, again) == (200, 200)
        running.configure(configmap(**{route: new}))
        refused, _ = await _resuming(running.port, context, session, headers)
        assert refused in (0, 401)


async def _serial(running):
    async with connect(running.port) as connection:
        return connection.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)


async def _resuming(port, context, session, headers):
    """One request on a connection that resumes `session`; gives the status and its own session."""

    def ask():
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        raw = socket.create_connection(("127.0.0.1", port), timeout=10)
        try:
            with context.wrap_socket(raw, server_hostname="localhost", session=session) as tls:
                tls.sendall(f"GET {GOOD_PATH} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
                head = tls.recv(65536)
                return int(head.split(b" ")[1]) if head else 0, tls.session
        except (ssl.SSLError, ConnectionError):
            raw.close()
            return 0, None

    return await asyncio.to_thread(ask)
