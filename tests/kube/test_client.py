"""Every response of an API server, and every failure below it, is bytes or one kind of error."""

import asyncio
import contextlib
import gzip
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.kube import errors
from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import Credentials
from metricsapi.kube.decoding import decode_json
from metricsapi.kube.identity import Identity
from metricsapi.kube.tls import ClientTLS
from tests.support.apiserver import ScriptedApiServer
from tests.support.listener import Listener, http
from tests.support.pki import SERVER, Authority, server_context
from tests.support.relay import Relay

CA = Authority("ca")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.Gone),
        (429, errors.TooManyRequests),
        (503, errors.ServerError),
        (418, errors.ApiError),
    ],
)
async def test_a_status_becomes_its_error(status, kind):
    body = {"kind": "Status", "message": "no, because", "reason": "Because", "code": status}
    async with ScriptedApiServer(lambda _: (status, body)) as server:
        with pytest.raises(kind, match="Because: no, because") as caught:
            await server.client.request("GET", "/x")
        assert caught.value.code == status


async def test_a_body_that_is_no_status_is_quoted():
    async with ScriptedApiServer(lambda _: (502, ["bad gateway"])) as server:
        with pytest.raises(errors.ServerError, match="bad gateway"):
            await server.client.request("GET", "/x")


async def test_headers_are_sent_in_utf8():
    async with (
        Listener(lambda request: http(request.headers["impersonate-user"].encode())) as server,
        client(server, headers=(("Impersonate-User", "jürgen"),)) as asking,
    ):
        response = await asking.request("GET", "/x")
    assert response.decode().encode("latin-1").decode() == "jürgen"


async def test_nobody_listening_is_unreachable():
    async with ScriptedApiServer(lambda _: (200, {})) as server:
        server.stop_listening()
        with pytest.raises(errors.Unreachable, match=r"127\.0\.0\.1"):
            await server.client.request("GET", "/x")


def client(server, *, token="token", scheme="http", **options):
    tls = ClientTLS(lambda: CA.text)
    url = f"{scheme}://{server.host}:{server.port}"
    return KubeClient(Credentials(url, tls, Identity(token), "test", **options))


HTML = b"<html>Please log in to the guest network</html>"
CASES = {
    "a captive proxy's page": (http(HTML), errors.InvalidResponse, "Please log in"),
    "a redirect": (
        http(b"", 302, headers=["Location: https://login.example/"]),
        errors.InvalidResponse,
        r"redirects \(302\) to 'https://login.example/'",
    ),
    "gzip that is none": (
        http(b"not gzip", headers=["Content-Encoding: gzip"]),
        errors.InvalidResponse,
        "127.0.0.1",
    ),
    "gzip that is cut": (
        http(gzip.compress(b'{"a":1}')[:-12], headers=["Content-Encoding: gzip"]),
        errors.KubeError,
        "127.0.0.1|GET /x",
    ),
    "JSON of another type": (http(b"[1]"), errors.InvalidResponse, "Expected `object`"),
    "JSON nested too deep": (http(b"[" * 100000), errors.InvalidResponse, "GET /x"),
    "bytes beyond UTF-8": (http(b'{"a":"\xff"}'), errors.InvalidResponse, "GET /x"),
    "no body": (http(b""), errors.InvalidResponse, "GET /x"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", errors.Unreachable, "127.0.0.1"),
    "half a body": (http(b'{"a":1}')[:-3], errors.Unreachable, "127.0.0.1"),
    "hanging up": (None, errors.Unreachable, "127.0.0.1"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_is_not_what_was_asked_for_is_an_error_of_kube(case):
    answer, kind, message = case
    async with Listener(lambda _: answer, closing=True) as server, client(server) as kube:
        with pytest.raises(kind, match=message):
            await kube.request_json("GET", "/x", dict)


@pytest.mark.parametrize("wait", ["²", "-1", "1e9", "soon", "Fri, 27 Nov 2026 06:00:00 GMT", ""])
async def test_any_retry_after_is_survived(wait):
    answer = http(b"{}", 429, headers=[f"Retry-After: {wait}"]).replace("²".encode(), b"\xb2")
    async with Listener(lambda _: answer) as server, client(server) as kube:
        with pytest.raises(errors.TooManyRequests) as caught:
            await kube.request("GET", "/x")
    assert caught.value.retry_after == 0.0


async def test_a_retry_after_is_bounded():
    answer = http(b"{}", 503, headers=["Retry-After: 86400"])
    async with Listener(lambda _: answer) as server, client(server) as kube:
        with pytest.raises(errors.ServerError) as caught:
            await kube.request("GET", "/x")
    assert caught.value.retry_after == errors.LONGEST_RETRY_AFTER


def secure(*, clients=None):
    context = server_context(
        CA.issue("api", usages=(SERVER,), names=("127.0.0.1", "other.example"))
    )
    if clients is not None:
        context.load_verify_locations(cadata=clients.text)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_certificate_that_the_server_requires_is_named_after_the_handshake():
    """TLS 1.3 tells of it by an alert that httpx lets through as ssl.SSLError."""
    tls = secure(clients=Authority("clients"))
    async with (
        Listener(lambda _: http(b"{}"), tls=tls) as server,
        client(server, scheme="https") as kube,
    ):
        with pytest.raises(errors.Unreachable, match=r"(?i)certificate.required|closed|reset"):
            await kube.request("GET", "/x")


def last_bit_flipped(data):
    return data[:-1] + bytes([data[-1] ^ 1])


async def test_a_record_with_a_bad_mac_is_an_error_of_kube():
    async with (
        Listener(lambda _: http(b"{}"), tls=secure()) as server,
        Relay((server.host, server.port)) as middle,
        client(middle, scheme="https") as kube,
    ):
        assert await kube.request("GET", "/x") == b"{}"
        middle.damage = last_bit_flipped
        with pytest.raises(errors.Unreachable, match=r"(?i)bad.record.mac|decryption"):
            await kube.request("GET", "/x")
        middle.damage = None
        assert await kube.request("GET", "/x") == b"{}"


async def test_a_watch_that_breaks_in_the_middle_of_tls_is_an_error_of_kube():
    async def answer(_request, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n")
        await writer.drain()
        middle.damage = last_bit_flipped
        writer.write(b"2\r\nb\n\r\n")
        await writer.drain()

    async with (
        Listener(answer, tls=secure()) as server,
        Relay((server.host, server.port)) as middle,
        client(middle, scheme="https") as kube,
    ):
        lines = kube.stream_lines("/x", params={}, accept="*/*", idle_timeout=5.0)
        assert await anext(lines) == b"a"
        with pytest.raises(errors.Unreachable):
            await anext(lines)


async def test_another_name_can_be_verified():
    async with Listener(lambda _: http(b"{}"), tls=secure()) as server:
        for name, good in (("other.example", True), ("third.example", False)):
            tls = ClientTLS(lambda: CA.text, server_name=name)
            url = f"https://127.0.0.1:{server.port}"
            async with KubeClient(Credentials(url, tls, Identity(), "test")) as kube:
                if good:
                    assert await kube.request("GET", "/x") == b"{}"
                else:
                    with pytest.raises(errors.Unreachable, match="Hostname mismatch"):
                        await kube.request("GET", "/x")


class ForwardProxy(Relay):
    """A forward proxy: CONNECT, and then bytes."""

    def __init__(self):
        super().__init__()
        self.asked = []

    async def choose(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        self.asked.append((method, target))
        host, _, port = target.rpartition(":")
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return host, int(port)


async def test_requests_go_through_the_proxy_and_the_name_is_verified_behind_it():
    async with Listener(lambda _: http(b"{}"), tls=secure()) as server, ForwardProxy() as proxy:
        for name, good in (("other.example", True), ("third.example", False)):
            tls = ClientTLS(lambda: CA.text, server_name=name)
            url = f"https://127.0.0.1:{server.port}"
            by = f"http://127.0.0.1:{proxy.port}"
            async with KubeClient(Credentials(url, tls, Identity(), "test", proxy=by)) as kube:
                if good:
                    assert await kube.request("GET", "/x") == b"{}"
                else:
                    with pytest.raises(errors.Unreachable, match="Hostname mismatch"):
                        await kube.request("GET", "/x")
    assert proxy.asked == [("CONNECT", f"127.0.0.1:{server.port}")] * 2


async def test_a_proxy_that_refuses_is_named_in_the_error():
    async with Listener(lambda _: http(b"no", 407)) as proxy:
        tls = ClientTLS(lambda: CA.text)
        credentials = Credentials(
            "https://api.example", tls, Identity(), "test", proxy=f"http://127.0.0.1:{proxy.port}"
        )
        async with KubeClient(credentials) as kube:
            with pytest.raises(errors.Unreachable, match="407"):
                await kube.request("GET", "/x")


async def test_a_certificate_in_files_is_followed_and_watches_go_on(tmp_path, monkeypatch):
    """New connections present the new certificate; the watch on the old one is not cut."""
    monkeypatch.setattr("metricsapi.kube.identity.CERTIFICATE_PERIOD", 0.0)
    clients = Authority("clients")
    files = tmp_path / "tls.crt", tmp_path / "tls.key"
    going_on = asyncio.Event()
    users = []

    def issue(name):
        made = clients.issue(name)
        files[0].write_bytes(made.pem)
        files[1].write_bytes(made.key)

    async def answer(request, writer):
        users.append(dict(pair for part in request.peer["subject"] for pair in part)["commonName"])
        if request.path == "/watch":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n")
            await writer.drain()
            await going_on.wait()
            writer.write(b"2\r\nb\n\r\n0\r\n\r\n")
        else:
            writer.write(http(b"{}"))

    issue("first")
    async with Listener(answer, tls=secure(clients=clients)) as server:
        identity = Identity(pair_files=files)
        tls = ClientTLS(lambda: CA.text, identity.certificate)
        url = f"https://127.0.0.1:{server.port}"
        async with KubeClient(Credentials(url, tls, identity, "test")) as kube:
            lines = kube.stream_lines("/watch", params={}, accept="*/*", idle_timeout=5.0)
            assert await anext(lines) == b"a"
            issue("second")
            await kube.request("GET", "/x")
            going_on.set()
            assert [line async for line in lines] == [b"b"]
    assert users == ["first", "second"]


@given(st.binary(max_size=40))
def test_any_bytes_are_json_or_an_error_of_one_kind(body):
    with contextlib.suppress(errors.InvalidResponse):
        decode_json(body, dict[str, int], "it")


@given(st.integers(400, 599), st.binary(max_size=60), st.floats(min_value=0.0))
def test_any_refusal_is_an_error_of_its_status(status, body, retry_after):
    error = errors.error_from_response(status, body, retry_after)
    assert error.code == status
    assert 0 <= error.retry_after <= errors.LONGEST_RETRY_AFTER


async def test_an_endless_line_is_not_collected_for_ever(monkeypatch):
    monkeypatch.setattr("metricsapi.kube.client.LONGEST_LINE", 1000)

    async def answer(_request, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            writer.write(b"64\r\n" + b"x" * 100 + b"\r\n")
            await writer.drain()
        await asyncio.sleep(5)

    async with Listener(answer) as server, client(server) as kube:
        lines = kube.stream_lines("/x", params={}, accept="*/*", idle_timeout=5.0)
        with pytest.raises(errors.InvalidResponse, match="a line of more than"):
            await anext(lines)


MIB = b" " * 2**20


def endless(head):
    """Send a body without an end, as fast as it is taken."""

    async def answer(_, writer):
        writer.write(head)
        while not writer.is_closing():
            writer.write(MIB)
            await writer.drain()

    return answer


@pytest.mark.parametrize("kind", ["endless", "gzip"])
async def test_a_response_takes_bounded_memory(kind):
    bomb = http(gzip.compress(MIB * 64), headers=["Content-Encoding: gzip"])
    answer = endless(b"HTTP/1.1 200 OK\r\n\r\n") if kind == "endless" else lambda _: bomb
    async with Listener(answer) as server, client(server) as kube:
        with pytest.raises(errors.InvalidResponse, match="to /x has more than 4 MiB"):
            await kube.request("GET", "/x", largest=4 * 2**20)


async def test_of_a_refusal_no_more_is_read_than_says_why():
    async with Listener(endless(b"HTTP/1.1 503 No\r\n\r\n")) as server, client(server) as kube:
        with pytest.raises(errors.ServerError):
            await kube.request("GET", "/x")
        with pytest.raises(errors.ServerError):
            await anext(kube.stream_lines("/x", params={}, accept="*/*", idle_timeout=5.0))


async def test_a_refusal_that_trickles_is_one_in_time(monkeypatch):
    monkeypatch.setattr("metricsapi.kube.client.REFUSAL_TIMEOUT", 0.2)

    async def answer(_, writer):
        writer.write(b"HTTP/1.1 503 No\r\n\r\nbusy")
        await asyncio.Event().wait()

    async with Listener(answer) as server, client(server) as kube:
        with pytest.raises(errors.ServerError, match="busy"):
            await anext(kube.stream_lines("/x", params={}, accept="*/*", idle_timeout=60.0))


async def test_what_a_server_says_is_not_quoted_without_end():
    body = {"message": "no" * 50_000, "reason": "No"}
    async with ScriptedApiServer(lambda _: (403, body)) as server:
        with pytest.raises(errors.Forbidden) as caught:
            await server.client.request("GET", "/x")
    assert len(str(caught.value)) < 1100
