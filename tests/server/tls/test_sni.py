"""--tls-sni-cert-key: which certificate a client gets for the name that it asks for."""

import asyncio
import contextlib
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.kube.key_pair import KeyPair
from metricsapi.server.tls.context import Named, ServingTLS, TLSError
from metricsapi.server.tls.serving_certificate import CertificateFiles
from metricsapi.server.tls.sni import by_name, choose, names_of
from tests.server.serving import GOOD_PATH, configmap, serving
from tests.support.conditions import until
from tests.support.pki import SERVER, Authority, client_context

AUTHORITY = Authority("ca")
DEFAULT = AUTHORITY.issue("default.example", usages=(SERVER,), names=("default.example",))


def issue(common, *names):
    return AUTHORITY.issue(common, usages=(SERVER,), names=names)


def pair(certificate):
    return KeyPair(certificate.pem, certificate.key)


def named(certificate, *names):
    return Named(pair(certificate), names)


@contextlib.asynccontextmanager
async def asked(tls):
    """Return a function that asks for a name and gives the certificate (DER) presented."""
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=tls.context)
    port = server.sockets[0].getsockname()[1]

    async def ask(name):
        context = client_context()
        if name is None:
            name = "127.0.0.1"  # Python asks for no name then
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=name
        )
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            await writer.wait_closed()
        return shown

    try:
        yield ask
    finally:
        server.close()
        await server.wait_closed()


async def test_the_certificate_is_the_one_for_the_name_asked_for():
    own = issue("own.example", "own.example", "more.example", "*.wild.example", "10.0.0.1")
    patterns = issue("anything", "hidden.example")
    tls = ServingTLS(
        pair(DEFAULT),
        named=[named(own), named(patterns, "given.example", "*.given.example", "*.*.deep.example")],
    )
    expected = {
        "own.example": own,
        "MORE.example": own,
        "a.wild.example": own,
        "a.b.wild.example": DEFAULT,  # one * is one label
        "given.example": patterns,
        "a.given.example": patterns,
        "a.b.deep.example": patterns,
        "hidden.example": DEFAULT,  # patterns running in place of the names in the certificate
        "unknown.example": DEFAULT,
        "localhost": DEFAULT,
        "default.example": DEFAULT,
        None: DEFAULT,
    }
    async with asked(tls) as ask:
        shown = {name: await ask(name) for name in expected}
    assert shown == {name: certificate.der for name, certificate in expected.items()}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_that_verifies_is_content_with_its_name(version):
    tls = ServingTLS(pair(DEFAULT), named=[named(issue("own.example", "own.example"))])
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=tls.context)
    port = server.sockets[0].getsockname()[1]
    context = client_context(trusts=AUTHORITY.text, version=version)
    async with server:
        for name in ("own.example", "default.example"):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname=name
            )
            writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="unknown.example"
            )


NAMED = [issue(name, name, "*.example") for name in ("first.example", "second.example")]


@pytest.mark.parametrize(
    ("given", "name", "number"),
    [
        ([(), ()], "x.example", 1),  # of equals, the one given first
        ([(), ("*.example",)], "x.example", 2),  # given before extracted
        ([("*.example",), ()], "second.example", 2),  # exact before *
        ([("second.example",), ()], "second.example", 1),
        ([("x",), ("x",)], "x", 1),
        ([("*",), ()], "one", 1),
        ([("*",), ()], "two.labels", 0),
        ([("10.0.0.1",), ()], "", 0),
    ],
)
def test_precedence(given, name, number):
    table = by_name(given, [certificate.certificate for certificate in NAMED])
    assert choose(table, name) == number


@pytest.mark.parametrize(
    ("common", "names", "expected"),
    [
        ("a.example", (), ["a.example"]),
        ("A.Example", ("B.example",), ["a.example", "b.example"]),
        ("*.a.example", (), ["*.a.example"]),
        ("10.0.0.1", ("10.0.0.1",), []),
        ("a name of words", ("a.example",), ["a.example"]),
        ("", ("a.example",), ["a.example"]),
    ],
)
def test_the_names_of_a_certificate(common, names, expected):
    assert names_of(issue(common, *names).certificate) == expected


@given(st.text(max_size=300) | st.none())
def test_no_name_asked_for_breaks_the_choice(name):
    assert choose({"a.example": 1}, name) in (0, 1)


async def test_clients_are_verified_under_every_name_and_so_are_authorities_that_come_later():
    front, stranger = Authority("front-proxy"), Authority("stranger")
    own = [named(issue("own.example", "own.example"))]
    async with serving(configmap(front=stranger), named=own) as running:
        running.configure(configmap(front=front))
        for name in ("own.example", "unknown.example"):
            assert await _status(running.port, name, front.issue("front-proxy-client")) == 200
            assert await _status(running.port, name, front.issue("another")) == 401
            assert await _status(running.port, name, stranger.issue("front-proxy-client")) is None


async def _status(port, name, certificate):
    """Return the status of a request on a connection that asks for a name; None when refused."""
    headers = "Host: x\r\nX-Remote-User: alice\r\nX-Remote-Group: system:masters\r\n"
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(certificate), server_hostname=name
        )
        writer.write(f"GET {GOOD_PATH} HTTP/1.1\r\n{headers}\r\n".encode())
        line = await reader.readline()
        writer.close()
        return int(line.split()[1]) if line else None
    except (ssl.SSLError, ConnectionError):
        return None


def write(directory, certificate):
    (directory / "sni.crt").write_bytes(certificate.pem)
    (directory / "sni.key").write_bytes(certificate.key)


async def test_a_named_certificate_follows_its_files_with_the_names_in_it(tmp_path, caplog):
    old, new = issue("old.example"), issue("new.example")
    write(tmp_path, old)
    files = CertificateFiles(tmp_path / "sni.crt", tmp_path / "sni.key", 0.01)
    tls = ServingTLS(pair(DEFAULT), named=[Named(files.read())])
    following = asyncio.create_task(files.follow(tls, which=1))
    async with asked(tls) as ask:
        assert await ask("old.example") == old.der
        (tmp_path / "sni.crt").write_bytes(new.pem)  # its key comes later
        await until(lambda: "keeping their last good content" in caplog.text, what="a word of it")
        assert f"{tmp_path}/sni.key is not the key" in str(caplog.records[-1].data)
        assert await ask("old.example") == old.der
        (tmp_path / "sni.key").write_bytes(new.key)
        await until(lambda: tls.pairs[1] == pair(new), what="the new pair")
        assert await ask("new.example") == new.der
        assert await ask("old.example") == DEFAULT.der
        assert tls.pair == pair(DEFAULT)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_what_cannot_be_presented_leaves_every_certificate_as_it_was():
    own = issue("own.example")
    tls = ServingTLS(pair(DEFAULT), named=[named(own)])
    with pytest.raises(TLSError):
        tls.present(KeyPair(own.pem, DEFAULT.key), 1)
    async with asked(tls) as ask:
        assert await ask("own.example") == own.der
        assert await ask(None) == DEFAULT.der
