"""Whom to believe by flags, in a server of its own process beside the sandbox's API server."""

import asyncio
import contextlib
import json
import ssl
import time

import pytest

from metricsapi.tools.sandbox.embedded import Embedded
from metricsapi.tools.sandbox.outages import Outage
from metricsapi.tools.sandbox.size import Size
from tests.support.conditions import until
from tests.support.https_client import connect
from tests.support.pki import SERVER, Authority, client_context
from tests.support.server import serving

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
            return await stack.enter_async_context(serving(embedded, *flags))

        yield started


async def ask(server, certificate=None, headers=()):
    """Return the status, or REFUSED for a certificate that does not outlast the handshake."""
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
    assert await ask(server, alice) == 200  # what was stored is not lost
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
async def test_a_failing_lookup_is_logged_and_the_probe_is_answered(
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
    matching = [
        line for line in lines if "the authentication configuration is not known yet" in line
    ]
    assert [line[0] for line in matching] == [level]
    assert any("extension-apiserver-authentication" in line for line in lines)


async def test_certificates_by_name_in_a_running_server(start, tmp_path):
    authority = Authority("serving")
    first, other = (authority.issue("", usages=(SERVER,), names=("a.example",)) for _ in range(2))

    def write(certificate):
        (tmp_path / "sni.crt").write_bytes(certificate.pem)
        (tmp_path / "sni.key").write_bytes(certificate.key)

    write(first)
    files = f"{tmp_path}/sni.crt,{tmp_path}/sni.key"
    server = await start(f"--tls-sni-cert-key={files}", f"--tls-sni-cert-key={files}:*.b.example")
    default = await presented(server, "localhost")
    assert default != first.der
    for name in ("a.example", "x.b.example"):
        assert await presented(server, name) == first.der
    assert await presented(server, "c.example") == default
    write(other)
    deadline = time.monotonic() + 30
    while await presented(server, "x.b.example") != other.der:
        assert time.monotonic() < deadline, "the new files were not taken up"
    assert await presented(server, "localhost") == default


async def test_how_long_a_request_may_take_and_what_goes_with_every_answer(embedded, start):
    server = await start(
        "--request-timeout=500ms",
        "--external-hostname=metrics.example",
        "--strict-transport-security-directives=max-age=60,includeSubDomains",
    )
    masters = _front_proxy(embedded.api.front_proxy_ca)
    async with connect(server.port, masters) as connection:
        groups = await connection.request("/apis", headers=remote())
    reached = json.loads(groups.body)["groups"][0]["serverAddressByClientCIDRs"]
    assert reached[0]["serverAddress"] == f"metrics.example:{server.port}"
    assert groups.header("strict-transport-security") == "max-age=60; includeSubDomains"
    await embedded.api.set_outage(Outage.HANG)  # so that its token cannot be reviewed
    assert await ask(server, None, token(embedded)) == 504
    await embedded.api.set_outage(Outage.NONE)
    log = (embedded.directory / "server.log").read_text()
    assert '"request took too long"' in log


async def test_reviews_and_caches_are_counted(embedded, start):
    server = await start("--authentication-token-webhook-cache-ttl=1h")
    known = token(embedded)
    stranger = {"Authorization": f"Bearer {embedded.api.add_user('nobody', ())}"}
    for _ in range(3):
        assert await ask(server, None, known) == 200
    assert await ask(server, None, stranger) == 403
    assert await ask(server, None, {"Authorization": "Bearer unknown"}) == 401
    await embedded.api.set_outage(Outage.FAILING)
    assert await ask(server, None, {"Authorization": "Bearer another"}) == 401
    async with connect(server.port) as connection:
        text = (await connection.request("/metrics", headers=known)).body.decode()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")

    def counted(name, **labels):
        pairs = ",".join(f'{key}="{value}"' for key, value in labels.items())
        return float(lines[f"metricsapi_{name}{{{pairs}}}"])

    for result, count in (("allowed", 2), ("denied", 1), ("error", 1)):
        assert counted("reviews_total", kind="TokenReview", result=result) == count
    assert counted("reviews_total", kind="SubjectAccessReview", result="denied") == 1
    assert counted("review_duration_seconds_count", kind="TokenReview") == 4
    assert counted("cache_requests_total", cache="tokens", result="hit") == 3
    assert counted("cache_requests_total", cache="tokens", result="miss") == 4
    assert counted("cache_requests_total", cache="authorizations", result="miss") == 1


async def presented(server, name):
    """Return the certificate (DER) that a client gets that asks for a name."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", server.port, ssl=client_context(), server_hostname=name
    )
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return shown


def _front_proxy(authority):
    return authority.issue("front-proxy-client")
