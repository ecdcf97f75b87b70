"""The doctor at a node: each broken certificate and listener has a finding of its own."""

import asyncio
import socket
import ssl
import threading

import pytest

from metricsapi.kube.tls import verifying_context
from metricsapi.scrape.endpoints import RESOURCE_METRICS as RESOURCE_PATH
from metricsapi.scrape.endpoints import SHORT_SUMMARY as SUMMARY_PATH
from metricsapi.scrape.targets import Target
from metricsapi.tools.doctor.handshake import Reader
from metricsapi.tools.doctor.kubelet import CHECKS, check_node, check_proxied
from tests.support.apiserver import ScriptedApiServer
from tests.support.pki import (
    UNSUITABLE,
    Authority,
    lenient_server_context,
    self_signed,
    server_context,
    unsuitable,
)
from tests.tools.doctor.listeners import (
    EMPTY,
    NO_STATS,
    NO_USAGE,
    RESOURCE,
    SUMMARY,
    http,
    kubelet,
    listening,
    serving,
)

CA = Authority("kubernetes")
SELF_SIGNED = server_context(self_signed("system:node:node-a", names=("127.0.0.1",)))
GOOD = kubelet(http(200, SUMMARY))


async def examine(port, *, hosts=("127.0.0.1",), timeout=5.0, **more):
    reader = Reader(
        **{
            "context": verifying_context(CA.text),
            "token": lambda: "secret-token",
            "timeout": timeout,
            **more,
        }
    )
    results = await check_node(Target("node-a", hosts, port), reader)
    assert {each.check for each in results} == set(CHECKS)
    assert "secret-token" not in repr(results)
    return {each.check: each for each in results}


def outcome(found, check):
    """The result of `check`; all before it are fine, all after a failure were not reached."""
    for name in CHECKS[: CHECKS.index(check)]:
        assert found[name].status in ("ok", "warn"), found[name]
    result = found[check]
    assert result.status == "ok" or result.fix
    if result.status == "fail":
        assert all(found[name].status == "skip" for name in CHECKS[CHECKS.index(check) + 1 :])
    return result


async def test_a_healthy_node_is_ok_in_every_check(tmp_path):
    seen = []

    def answer(request):
        seen.append(request)
        return http(200, SUMMARY)

    async with listening(answer, serving(CA, "127.0.0.1")) as port:
        found = await examine(port)
    assert [str(found[check].status) for check in CHECKS] == ["ok"] * len(CHECKS)
    assert [request.target for request in seen] == [SUMMARY_PATH]
    assert seen[0].headers["authorization"] == "Bearer secret-token"
    assert "signed by 'kubernetes'" in found["tls"].evidence


async def test_no_address():
    found = await examine(1, hosts=())
    assert "--kubelet-preferred-address-types" in outcome(found, "address").fix


@pytest.mark.parametrize("why", UNSUITABLE)
async def test_a_certificate_that_is_refused_for_its_content_is_reported_as_that(why):
    context = lenient_server_context(unsuitable(CA, why, "127.0.0.1"))
    async with listening(GOOD, context) as port:
        result = outcome(await examine(port), "tls")
    assert result.cause == "certificate_unsuitable"
    assert "may not be used for this" in result.evidence
    assert "--kubelet-certificate-authority" not in result.fix


@pytest.mark.parametrize("host", ["a..b", "x" * 64, "no\0de", "", "-", "\u0661.example"])
async def test_a_host_that_is_none_is_a_finding(host):
    found = await examine(1, hosts=(host,), timeout=2.0)
    assert outcome(found, "tcp").status == "fail"


async def test_an_answer_without_end_is_cut_off():
    async with listening(
        kubelet(http(200, SUMMARY + " " * 5000)), serving(CA, "127.0.0.1")
    ) as port:
        result = (await examine(port, max_bytes=2000))["endpoint"]
    assert result.cause == "too_large"
    assert "--kubelet-max-response-bytes" in result.fix


async def test_nothing_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = await examine(free.getsockname()[1])
    assert "refused the connection" in outcome(found, "tcp").evidence


async def test_a_name_that_does_not_resolve(tmp_path):
    found = await examine(1, hosts=("no-such-node.invalid",))
    assert "InternalIP first" in outcome(found, "tcp").fix
    async with listening(GOOD, serving(CA, "127.0.0.1")) as port:
        found = await examine(port, hosts=("no-such-node.invalid", "127.0.0.1"))
    assert outcome(found, "tcp").status == "warn"
    assert found["containers"].status == "ok"


async def test_a_name_that_no_name_server_answers_for_is_not_blamed_on_a_firewall(monkeypatch):
    over, lookup = threading.Event(), socket.getaddrinfo

    def slow(host, *args, **more):
        if host == "node-a.slow":
            over.wait(30)
        return lookup(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        found = outcome(await examine(1, hosts=("node-a.slow",), timeout=0.2), "tcp")
    finally:
        over.set()
    assert found.evidence == "node-a.slow:1: the name was not resolved within 0.2 s"
    assert "InternalIP first" in found.fix


async def test_of_a_certificate_for_many_some_names_are_shown(tmp_path):
    names = [f"10.1.0.{number}" for number in range(100)]
    async with listening(GOOD, serving(CA, "127.0.0.1", *names)) as port:
        evidence = outcome(await examine(port), "tls").evidence
    assert ", 10.1.0.3, 10.1.0.4 and 95 more; signed by" in evidence


async def test_a_listener_that_speaks_no_tls():
    async def refuse(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        evidence = outcome(await examine(server.sockets[0].getsockname()[1]), "tls").evidence
    assert evidence.startswith("handshake failed")
    assert "in time" not in evidence


@pytest.mark.parametrize(
    ("names", "more", "evidence"),
    [
        (("10.9.9.9",), {}, "names neither this address nor the node"),
        ((), {}, "names neither this address nor the node"),
        (("127.0.0.1",), {"ends": -0.5}, "is not valid now"),
        (("127.0.0.1",), {"begins": 1.0}, "is not valid now"),
    ],
)
async def test_broken_certificates(tmp_path, names, more, evidence):
    async with listening(GOOD, serving(CA, *names, **more)) as port:
        result = outcome(await examine(port), "tls")
    assert result.status == "fail"
    assert evidence in result.evidence
    for name in names:
        assert name in result.evidence


async def test_a_self_signed_certificate():
    async with listening(GOOD, SELF_SIGNED) as port:
        result = outcome(await examine(port), "tls")
    assert result.status == "fail"
    assert "the kubelet signed its own certificate" in result.evidence
    assert "127.0.0.1" in result.evidence


async def test_a_certificate_of_another_ca_names_its_signer(tmp_path):
    other = serving(Authority("somebody-else"), "127.0.0.1")
    async with listening(GOOD, other) as port:
        result = outcome(await examine(port), "tls")
    assert "unknown CA" in result.evidence
    assert "signed by 'somebody-else'" in result.evidence
    assert "--kubelet-certificate-authority" in result.fix


async def test_a_certificate_of_the_ca_that_a_kubelet_makes_itself_counts_as_its_own(tmp_path):
    """A kubelet without a signed certificate makes a CA named NODE-ca@SECONDS first."""
    own = serving(Authority("node-a-ca@1764000000"), "127.0.0.1")
    async with listening(GOOD, own) as port:
        result = outcome(await examine(port), "tls")
    assert "the kubelet signed its own certificate" in result.evidence
    assert "node-a-ca@1764000000" in result.evidence
    assert "kubectl certificate approve" in result.fix


async def test_a_certificate_that_carries_only_the_nodes_name_will_do(tmp_path):
    async with listening(GOOD, serving(CA, "node-a")) as port:
        found = await examine(port)
    assert "the node's name; it lacks 127.0.0.1" in outcome(found, "tls").evidence
    assert found["containers"].status == "ok"


async def test_a_certificate_that_expires_soon_is_a_warning(tmp_path):
    async with listening(GOOD, serving(CA, "127.0.0.1", ends=3.0)) as port:
        result = outcome(await examine(port), "tls")
    assert (result.status, result.evidence[:16]) == ("warn", "expires in 3.0 d")


async def test_insecure_flags_are_warnings_and_plain_http_sends_no_token(tmp_path):
    seen = []

    def answer(request):
        seen.append(request.headers)
        return http(200, SUMMARY)

    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    async with listening(answer, SELF_SIGNED) as port:
        found = await examine(port, context=unverified, verify=False)
    assert outcome(found, "tls").status == "warn"
    async with listening(answer) as port:
        found = await examine(port, context=None)
    assert outcome(found, "tls").status == "warn"
    assert ["authorization" in headers for headers in seen] == [True, False]


FORBIDDEN = http(403, 'Forbidden (user=x, verb=get, resource=nodes, subresource="stats")')


@pytest.mark.parametrize(
    ("answer", "check", "status", "evidence"),
    [
        (kubelet(http(401, "Unauthorized")), "authentication", "fail", "401 for /stats/summary"),
        (kubelet(FORBIDDEN, FORBIDDEN), "authorization", "fail", 'subresource="stats"'),
        (kubelet(FORBIDDEN), "authorization", "fail", "404 for /metrics/resource"),
        (kubelet(FORBIDDEN, http(200, RESOURCE)), "authorization", "warn", "403 for /stats/summ"),
        (kubelet(), "endpoint", "fail", "404 for /stats/summary"),
        (kubelet(http(500, "boom")), "endpoint", "fail", "500 for /stats/summary: boom"),
        (kubelet(None, http(200, RESOURCE)), "containers", "ok", "all 1 have CPU"),
        (kubelet(http(200, "{")), "payload", "fail", ""),
        (kubelet(http(200, "<html>")), "payload", "fail", "<html>"),
        (kubelet(http(200, SUMMARY, skew=3600)), "clock", "warn", "s ahead of ours"),
        (kubelet(http(200, SUMMARY, skew=-3600)), "clock", "warn", "s behind ours"),
        (kubelet(http(200, SUMMARY, Date="yesterday")), "clock", "skip", "no usable Date"),
        (kubelet(http(200, NO_STATS)), "containers", "warn", "ns/p/c"),
        (kubelet(http(200, NO_USAGE)), "containers", "fail", "none of the 1 containers"),
        (kubelet(http(200, EMPTY)), "containers", "warn", "lists no containers"),
        (kubelet(http(200, '{"node": {"nodeName": "node-a"}}')), "containers", "fail", "own CPU"),
        (kubelet(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"), "endpoint", "fail", ""),
        (kubelet(b"SSH-2.0-OpenSSH_9.2\r\n"), "endpoint", "fail", ""),
    ],
)
async def test_answers(tmp_path, answer, check, status, evidence):
    async with listening(answer, serving(CA, "127.0.0.1")) as port:
        result = (await examine(port))[check]
    assert result.status == status, result
    assert evidence in result.evidence


async def silent(request, writer):
    await asyncio.sleep(60)


async def test_a_kubelet_that_says_nothing(tmp_path):
    tls = serving(CA, "127.0.0.1")
    async with listening(silent, tls) as port:
        result = (await examine(port, timeout=0.5))["endpoint"]
    assert (result.status, result.evidence) == ("fail", "no answer to /stats/summary in time")


async def test_a_kubelet_that_never_shakes_hands():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        result = outcome(await examine(deaf.getsockname()[1], timeout=0.5), "tls")
    assert result.evidence == "handshake failed: no answer in time"


async def test_only_the_wanted_endpoint_is_read(tmp_path):
    tls = serving(CA, "127.0.0.1")
    async with listening(kubelet(FORBIDDEN, http(200, RESOURCE)), tls) as port:
        assert (await examine(port, paths=(RESOURCE_PATH,)))["authorization"].status == "ok"
        assert (await examine(port, paths=(SUMMARY_PATH,)))["authorization"].status == "fail"


LISTED = RESOURCE.encode()
PROXY = "/api/v1/nodes/node-a/proxy"


class NodeProxy(ScriptedApiServer):
    """Answers for kubelets with what the test has for each path below a node's proxy."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers

    async def respond(self, request, writer):
        answer = self.answers.get(request.target.removeprefix(PROXY), http(404))
        if answer is None:
            await asyncio.sleep(60)
        writer.write(answer if answer.startswith(b"HTTP") else http(200, answer.decode()))
        return False


@pytest.mark.parametrize(
    ("path", "answers", "check", "status", "evidence"),
    [
        (None, {SUMMARY_PATH: SUMMARY.encode()}, "containers", "ok", "all 1 have CPU"),
        ("/x/usage", {"/x/usage": LISTED}, "containers", "ok", "all 1 have CPU"),
        ("/x/usage", {SUMMARY_PATH: SUMMARY.encode()}, "endpoint", "fail", "404 for /x/usage"),
        ("/stats/x", {"/stats/x": LISTED}, "containers", "ok", "all 1 have CPU"),
        (None, {SUMMARY_PATH: b" " * 9000}, "endpoint", "fail", "more than 8,192 bytes"),
        (None, {SUMMARY_PATH: http(503, "no route to host")}, "endpoint", "fail", "503"),
        (None, {SUMMARY_PATH: None}, "endpoint", "fail", "no answer to /stats/summary in time"),
        (None, {SUMMARY_PATH: http(302, Location="/x")}, "endpoint", "fail", "redirects (302)"),
    ],
)
async def test_through_the_api_server_the_same_is_read_as_the_server_reads(
    path, answers, check, status, evidence
):
    """The annotation of the path had been ignored, and so had the bound of a response."""
    reader = Reader(context=None, token=lambda: None, timeout=0.5, max_bytes=8192)
    async with NodeProxy(answers) as server:
        target = Target("node-a", (), 10250, path)
        results = await check_proxied(target, server.client, reader)
    found = {each.check: each for each in results}
    assert set(found) == set(CHECKS)
    assert found[check].status == status, found[check]
    assert evidence in found[check].evidence
    asked = [request.target.removeprefix(PROXY) for request in server.requests]
    assert asked[0] == (path or SUMMARY_PATH)
