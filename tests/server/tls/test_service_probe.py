"""The probe of the Service: who answers fresh connections, on real sockets."""

import asyncio
import contextlib
import time

import pytest

from metricsapi.server.tls.context import ServingTLS
from metricsapi.server.tls.issue import make_authority, make_serving
from metricsapi.server.tls.service_probe import ServiceProbe
from tests.support.listener import Listener
from tests.support.service import ServiceForwarder

NAMES = ("metrics-server.kube-system.svc",)
NOW = time.time()
OURS = make_authority("ours", now=NOW, lifetime=3600.0)
TRUSTED = OURS.certificate.decode()


def serving(authority, names=NAMES):
    return ServingTLS(make_serving(names, (), now=NOW, lifetime=3600.0, authority=authority))


@pytest.fixture
async def start():
    """Start a server; gives its address."""
    async with contextlib.AsyncExitStack() as stack:

        async def listen(tls):
            listener = Listener(tls=tls.context)
            await stack.enter_async_context(listener)
            return listener.host, listener.port

        yield listen


def probe(environ, **options):
    options = {"interval": 0.0, "timeout": 2.0, **options}
    return ServiceProbe("kube-system", "metrics-server", environ, **options)


async def test_a_service_of_ours_alone_passes(start):
    endpoints = [await start(serving(OURS)), await start(serving(OURS))]
    async with ServiceForwarder("metrics-server", lambda: endpoints) as service:
        assert await probe(service.environment).run(TRUSTED, 443) is None


async def test_one_other_server_among_ours_is_met(start):
    """Self-signed, as metrics-server's own."""
    endpoints = [await start(serving(OURS)), await start(serving(None))]
    async with ServiceForwarder("metrics-server", lambda: endpoints) as service:
        failure = await probe(service.environment).run(TRUSTED, 443)
    assert failure.other_server
    assert "to the Service meets another server: " in failure.text


async def test_a_certificate_of_ours_for_another_service_does_not_pass(start):
    endpoints = [await start(serving(OURS, ("other.kube-system.svc",)))]
    async with ServiceForwarder("metrics-server", lambda: endpoints) as service:
        failure = await probe(service.environment).run(TRUSTED, 443)
    assert failure.other_server
    assert "Hostname mismatch" in failure.text


async def test_a_service_that_leads_nowhere_is_no_success():
    async with ServiceForwarder("metrics-server", list) as service:
        environ = service.environment
        failure = await probe(environ).run(TRUSTED, 443)
    assert not failure.other_server
    assert f"127.0.0.1:{environ['METRICS_SERVER_SERVICE_PORT']} failed" in failure.text


async def test_a_server_that_never_answers_takes_the_timeout_and_no_longer():
    async with Listener() as plain:  # it waits for a request, and the probe for a handshake
        environ = {
            "METRICS_SERVER_SERVICE_HOST": plain.host,
            "METRICS_SERVER_SERVICE_PORT": str(plain.port),
        }
        async with asyncio.timeout(10):
            failure = await probe(environ, timeout=0.1).run(TRUSTED, 443)
    assert "failed: TimeoutError" in failure.text


@pytest.mark.parametrize(
    "environ",
    [{}, {"METRICS_SERVER_SERVICE_HOST": "10.0.0.1", "METRICS_SERVER_SERVICE_PORT": "tcp://x"}],
)
async def test_without_an_address_in_the_environment_the_name_is_used(environ):
    failure = await probe(environ).run(TRUSTED, 8443)
    assert not failure.other_server
    assert "at metrics-server.kube-system.svc:8443 failed: " in failure.text


async def test_a_port_beyond_all_is_a_failure_of_the_probe_alone():
    environ = {"METRICS_SERVER_SERVICE_HOST": "127.0.0.1", "METRICS_SERVER_SERVICE_PORT": "99999"}
    failure = await probe(environ).run(TRUSTED, 443)
    assert "at 127.0.0.1:99999 failed: " in failure.text
