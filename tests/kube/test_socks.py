"""SOCKS5 proxies to an API server: what they are asked for, and whatever they reply."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.kube import connections, errors
from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import Credentials, load_credentials
from metricsapi.kube.identity import Identity
from metricsapi.kube.tls import ClientTLS
from tests.support.listener import Listener, http
from tests.support.pki import SERVER, Authority, server_context
from tests.support.socks import SUCCEEDED, SocksProxy

CA = Authority("ca")
NAME = "api.cluster.example"  # no resolver knows it but the proxy


def api(*names):
    certificate = CA.issue("api", usages=(SERVER,), names=names or (NAME,))
    return Listener(lambda _: http(b"{}"), tls=server_context(certificate))


def client(server, port, proxy, scheme="socks5", user=""):
    by = f"{scheme}://{user}127.0.0.1:{proxy.port}"
    tls = ClientTLS(CA.pem.decode)
    return KubeClient(Credentials(f"https://{server}:{port}", tls, Identity(), "test", proxy=by))


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("pieces", [False, True])
async def test_the_proxy_resolves_the_name_which_is_verified_behind_it(scheme, pieces):
    async with api() as server, SocksProxy({NAME: "127.0.0.1"}, pieces=pieces) as proxy:
        async with client(NAME, server.port, proxy, scheme) as kube:
            assert await kube.request("GET", "/x") == b"{}"
            assert await kube.request("GET", "/y") == b"{}"  # over the same connection
        async with api("other.example") as other, client(NAME, other.port, proxy) as kube:
            with pytest.raises(errors.Unreachable, match="Hostname mismatch"):
                await kube.request("GET", "/x")
    assert proxy.asked == [("name", NAME, server.port), ("name", NAME, other.port)]


@pytest.mark.parametrize(("host", "kind"), [("127.0.0.1", 4), ("[::1]", 6)])
async def test_an_address_is_sent_as_one(host, kind):
    bare = host.strip("[]")
    async with (
        api(bare) as server,
        SocksProxy({bare: "127.0.0.1"}) as proxy,
        client(host, server.port, proxy) as kube,
    ):
        assert await kube.request("GET", "/x") == b"{}"
    assert proxy.asked == [(kind, bare, server.port)]


async def test_the_credentials_of_the_url_are_sent():
    names = {NAME: "127.0.0.1"}
    async with api() as server, SocksProxy(names, user=("me@here", "p:/ ss")) as proxy:
        async with client(NAME, server.port, proxy, user="me%40here:p%3A%2F%20ss@") as kube:
            assert await kube.request("GET", "/x") == b"{}"
        for user in ("", "me:wrong@"):
            async with client(NAME, server.port, proxy, user=user) as kube:
                with pytest.raises(errors.Unreachable, match="the SOCKS proxy refused"):
                    await kube.request("GET", "/x")
    assert proxy.users == [("me@here", "p:/ ss"), ("me", "wrong")]


async def test_a_kubeconfig_and_the_environment_name_it(tmp_path):
    path = tmp_path / "kubeconfig"
    text = """
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: secret}}]
clusters: [{name: c, cluster: {server: "https://%s:%d", %s certificate-authority: ca.crt}}]
"""
    (tmp_path / "ca.crt").write_bytes(CA.pem)
    async with api() as server, SocksProxy({NAME: "127.0.0.1"}) as proxy:
        url = f"socks5://127.0.0.1:{proxy.port}"
        for line, environ in ((f"proxy-url: '{url}',", {}), ("", {"HTTPS_PROXY": url})):
            path.write_text(text % (NAME, server.port, line))
            async with KubeClient(load_credentials(path, environ)) as kube:
                assert await kube.request("GET", "/x") == b"{}"
    assert len(proxy.asked) == 2


async def test_a_proxy_that_hangs_uses_up_no_connections(monkeypatch):
    monkeypatch.setattr("metricsapi.kube.client.CONNECT_TIMEOUT", 0.2)
    async with (
        SocksProxy({NAME: "127.0.0.1"}, silent=True) as proxy,
        api() as server,
        client(NAME, server.port, proxy) as kube,
    ):
        requests = [kube.request("GET", "/x", timeout=0.1) for _ in range(connections.MOST + 1)]
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {errors.Unreachable}
        lines = kube.stream_lines("/x", params={}, accept="*/*", idle_timeout=30.0)
        with pytest.raises(errors.Unreachable):
            async with asyncio.timeout(20):
                await anext(lines)
        proxy.silent = False
        assert await kube.request("GET", "/x") == b"{}"


@pytest.mark.parametrize(
    "replies",
    [
        (),
        (b"",),
        (b"\x05",),
        (b"\x05\x02",),  # credentials, which nobody offered
        (b"\x05\xff",),
        (b"\x04\x00",),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n",),
        (b"\x05\x00", b"\x05\x02\x00\x01"),  # not allowed by its rules
        (b"\x05\x00", b"\x05\x00\x00\x03\xffabc"),
        (b"\x05\x00", SUCCEEDED[:-1]),
        (b"\x05\x00", SUCCEEDED),
        (b"\x05\x00", SUCCEEDED, b"\x15\x03\x01\x00\x02\x02\x28"),
    ],
)
async def test_a_proxy_that_refuses_or_closes_is_an_error_of_one_kind(replies):
    async with SocksProxy(replies=replies) as proxy, client(NAME, 1, proxy) as kube:
        with pytest.raises(errors.Unreachable):
            await kube.request("GET", "/x", timeout=5.0)


@given(st.lists(st.binary(max_size=12), max_size=4))
def test_any_replies_are_an_error_of_one_kind(replies):
    async def attempt():
        replying = SocksProxy(replies=(b"\x05\x00", *replies))
        async with replying as proxy, client(NAME, 1, proxy) as kube:
            with pytest.raises(errors.Unreachable):
                await kube.request("GET", "/x", timeout=5.0)

    asyncio.run(attempt())
