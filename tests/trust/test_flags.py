"""Whom to believe by flags, in a server of its own process beside the sandbox's API server."""

import asyncio
import contextlib
import ssl
import time
from types import SimpleNamespace

import pytest

from metricsapi.sandbox.embedded import Embedded, Size
from metricsapi.sandbox.serverprocess import ServerProcess
from tests.conditions import until
from tests.trust.http import connect
from tests.trust.pki import Authority

NODES = "/apis/metrics.k8s.io/v1beta1/nodes"
MASTERS = "system:masters"
REFUSED = "refused in the handshake"


@pytest.fixture
async def embedded(tmp_path):
    async with Embedded(Size(nodes=1, pods=1, host=False), tmp_path, port=0) as running:
        yield running


@pytest.fixture
async def start(embedded):
    """Start a server with flags, which win over the sandbox's; wait until it listens."""
    async with contextlib.AsyncExitStack() as stack:

        async def started(*flags):
            server = ServerProcess(embedded.directory, flags)
            await server.start()
            stack.push_async_callback(server.stop)
            log = embedded.directory / "server.log"
            await until(lambda: "listening" in log.read_text(), seconds=30, what="listening")
            return server

        yield started


async def ask(server, certificate=None, headers=()):
    """Give the status, or REFUSED for a certificate that does not outlast the handshake."""
    try:
        async with connect(server.port, certificate) as connection:
            return (await connection.request(NODES, headers=headers)).status
    except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
        return REFUSED


def remote(user="alice", group=MASTERS):
    return {"X-Remote-User": user, "X-Remote-Group": group}


def token(embedded, name="kubernetes-admin"):
    return {"Authorization": f"Bearer {embedded.api.add_user(name, (MASTERS,))}"}


async def test_a_client_ca_file_replaces_the_clusters_and_follows_its_file(
    embedded, start, tmp_path
):
    first, second = Authority("first"), Authority("second")
    path = tmp_path / "clients.pem"
    path.write_text(first.text)
    server = await start(f"--client-ca-file={path}")
    alice = first.issue("alice", groups=(MASTERS,))
    assert await ask(server, alice) == 200
    assert await ask(server, second.issue("alice", groups=(MASTERS,))) == REFUSED
    proxied = embedded.api.front_proxy_ca
    assert await ask(server, _front_proxy(proxied), remote()) == 200  # the other part stays

    path.write_text("not a certificate")
    log = embedded.directory / "server.log"
    await until(lambda: f"{path} holds no usable" in log.read_text(), seconds=30, what="a word")
    assert await ask(server, alice) == 200  # what was held is not lost
    path.write_text(second.text)
    deadline = time.monotonic() + 30
    while await ask(server, second.issue("alice", groups=(MASTERS,))) != 200:
        assert time.monotonic() < deadline, "the new file was not taken up"
    assert await ask(server, alice) == REFUSED


async def test_front_proxy_by_flags_alone(embedded, start, tmp_path):
    authority = Authority("front")
    path = tmp_path / "front.pem"
    path.write_text(authority.text)
    server = await start(
        f"--requestheader-client-ca-file={path}",
        "--requestheader-allowed-names=aggregator,other",
        "--requestheader-username-headers=X-Who",
        "--requestheader-group-headers=X-Team",
        "--requestheader-extra-headers-prefix=X-More-",
        "--requestheader-uid-headers=X-Id",
    )
    aggregator = authority.issue("aggregator")
    named = {"X-Who": "alice", "X-Team": MASTERS, "X-Id": "7", "X-More-Scope": "all"}
    assert await ask(server, aggregator, named) == 200
    assert await ask(server, aggregator, {"X-Who": "alice"}) == 403  # known, and not allowed
    assert await ask(server, aggregator, remote()) == 401  # headers of other names say nothing
    assert await ask(server, authority.issue("stranger"), named) == 401
    assert await ask(server, _front_proxy(embedded.api.front_proxy_ca), named) == REFUSED


async def test_without_lookup_only_tokens_are_believed(embedded, start):
    server = await start("--authentication-skip-lookup")
    assert await ask(server, _front_proxy(embedded.api.front_proxy_ca), remote()) == REFUSED
    assert await ask(server, None, token(embedded)) == 200


@pytest.mark.parametrize(
    ("flags", "level"), [((), "W"), (("--authentication-tolerate-lookup-failure",), "I")]
)
async def test_a_failing_lookup_is_said_and_the_probe_is_answered(
    embedded, start, tmp_path, flags, level
):
    """The user of --authentication-kubeconfig may neither read the ConfigMap nor review tokens."""
    path = tmp_path / "nobody.kubeconfig"
    path.write_text(embedded.api.kubeconfig("nobody", ()))
    server = await start(f"--authentication-kubeconfig={path}", *flags)
    async with connect(server.port) as connection:
        assert (await connection.request("/livez")).status == 200
    assert await ask(server, _front_proxy(embedded.api.front_proxy_ca), remote()) == REFUSED
    assert await ask(server, None, token(embedded)) == 401
    lines = (embedded.directory / "server.log").read_text().splitlines()
    said = [line for line in lines if "did not tell its authentication configuration" in line]
    assert [line[0] for line in said] == [level]
    assert any("extension-apiserver-authentication" in line for line in lines)


def _front_proxy(authority):
    issued = authority.issue("front-proxy-client", client=True)
    return SimpleNamespace(pem=issued.certificate_pem, key=issued.key_pem)
