"""What the server presents: files that are replaced, or its own; versions and cipher suites."""

import asyncio
import contextlib
import ipaddress
import resource
import signal
import ssl
import time

import pytest
from cryptography import x509

from metricsapi.config.limits import LimitSettings
from metricsapi.kube.key_pair import KeyPair
from metricsapi.server.tls.context import ServingTLS, TLSError
from metricsapi.server.tls.issue import begins_at, make_serving
from metricsapi.server.tls.serving_certificate import (
    CertificateFiles,
    SelfSigned,
    ServingNames,
    service_names,
)
from tests.server.serving import PATHS, configmap, serving
from tests.support.conditions import until
from tests.support.https_client import connect

NAMES = service_names("metrics-server", "kube-system")


def pair(lifetime=3600.0, now=None):
    return make_serving(["localhost"], ["127.0.0.1"], now=now or time.time(), lifetime=lifetime)


@contextlib.asynccontextmanager
async def following(source, tls):
    task = asyncio.create_task(source.follow(tls))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def write(directory, made):
    (directory / "tls.crt").write_bytes(made.certificate)
    (directory / "tls.key").write_bytes(made.key)


async def test_files_are_read_again_and_no_connection_is_dropped(tmp_path):
    write(tmp_path, pair())
    files = CertificateFiles(tmp_path / "tls.crt", tmp_path / "tls.key", 0.01)
    async with serving(configmap(), pair=files.read()) as running, following(files, running.tls):
        async with connect(running.port) as connection:
            assert (await connection.request(PATHS[0])).status == 200
            new = pair()
            (tmp_path / "tls.crt").write_bytes(new.certificate)  # a pair that does not fit yet
            await asyncio.sleep(0.05)
            assert running.tls.pair != new
            (tmp_path / "tls.key").write_bytes(new.key)
            await until(lambda: running.tls.pair == new, what="the new pair")
            assert (await connection.request(PATHS[0])).status == 200
        async with connect(running.port) as connection:
            shown = connection.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            assert shown == ssl.PEM_cert_to_DER_cert(new.certificate.decode())


def test_a_missing_or_unfit_file_is_named(tmp_path):
    with pytest.raises(TLSError, match="nowhere"):
        CertificateFiles(tmp_path / "nowhere", tmp_path / "nowhere").read()
    first, second = pair(), pair()
    with pytest.raises(TLSError):
        ServingTLS(KeyPair(first.certificate, second.key))


def test_its_own_certificate_has_the_services_names_and_is_kept(tmp_path):
    made = SelfSigned(tmp_path, NAMES).read()
    names = made.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "metrics-server.kube-system.svc" in names.get_values_for_type(x509.DNSName)
    assert ipaddress.ip_address("127.0.0.1") in names.get_values_for_type(x509.IPAddress)
    assert SelfSigned(tmp_path, NAMES).read() == made
    assert SelfSigned(tmp_path, ServingNames(("other",))).read() != made


@pytest.mark.parametrize("why", ["a file in its place", "a full disk", "no home"])
def test_a_certificate_that_cannot_be_kept_is_one_line_and_nothing_is_left(tmp_path, caplog, why):
    directory = tmp_path / "certificates"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if why == "a file in its place":
        directory.write_text("")
    if why == "a full disk":  # a write fails half way, as it does there
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        made = SelfSigned(None if why == "no home" else directory, NAMES).read()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    ServingTLS(made)
    (record,) = caplog.records
    assert "--cert-dir" in record.message
    assert record.data["error"]
    assert not directory.is_dir() or list(directory.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00\xff" * 99])
def test_garbage_in_the_place_of_the_kept_certificate_is_replaced(tmp_path, content):
    made = SelfSigned(tmp_path, NAMES).read()
    for name in ("apiserver.crt", "apiserver.key"):
        (tmp_path / name).write_bytes(content)
        again = SelfSigned(tmp_path, NAMES).read()
        assert again != made
        assert SelfSigned(tmp_path, NAMES).read() == again


async def test_its_own_certificate_is_renewed_before_it_expires(tmp_path):
    now = [time.time()]
    own = SelfSigned(tmp_path, NAMES, lifetime=1000.0, period=0.01, clock=lambda: now[0])
    first = own.read()
    tls = ServingTLS(first)
    async with following(own, tls):
        now[0] += 700.0
        await asyncio.sleep(0.05)
        assert tls.pair == first
        now[0] += 200.0
        await until(lambda: tls.pair != first, what="a new certificate")
    assert first.expires() > now[0]


async def test_its_own_certificate_of_a_clock_that_was_ahead_is_replaced(tmp_path):
    """It was presented until its time came, and kept across restarts."""
    now = [time.time() + 86400.0]
    own = SelfSigned(tmp_path, NAMES, period=0.01, clock=lambda: now[0])
    tls = ServingTLS(own.read())
    async with following(own, tls):
        now[0] -= 86400.0
        await until(lambda: begins_at(tls.pair) <= now[0], what="a certificate that is valid now")
    assert SelfSigned(tmp_path, NAMES, clock=lambda: now[0]).read() == tls.pair


@pytest.mark.parametrize(
    ("least", "version", "served"),
    [
        ("VersionTLS12", ssl.TLSVersion.TLSv1_2, True),
        ("VersionTLS12", ssl.TLSVersion.TLSv1_3, True),
        ("VersionTLS13", ssl.TLSVersion.TLSv1_2, False),
        ("VersionTLS13", ssl.TLSVersion.TLSv1_3, True),
    ],
)
async def test_the_least_version_is_kept(least, version, served):
    assert await _shakes_hands(ServingTLS(pair(), min_version=least), version) is served


async def test_cipher_suites_go_by_their_names_in_go():
    suites = ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",)
    tls = ServingTLS(pair(), cipher_suites=suites)
    chosen = await _shakes_hands(tls, ssl.TLSVersion.TLSv1_2, cipher=True)
    assert chosen == "ECDHE-ECDSA-AES256-GCM-SHA384"
    with pytest.raises(TLSError, match="TLS_NONSENSE"):
        ServingTLS(pair(), cipher_suites=("TLS_NONSENSE",))
    with pytest.raises(TLSError, match="VersionTLS99"):
        ServingTLS(pair(), min_version="VersionTLS99")


@pytest.mark.parametrize(
    ("version", "served"), [(ssl.TLSVersion.TLSv1_2, False), (ssl.TLSVersion.TLSv1_3, True)]
)
async def test_with_suites_of_tls_1_3_alone_nothing_older_is_spoken(version, served):
    """As in Go, where the list is of TLS 1.2 and then empty; not our own list in its place."""
    tls = ServingTLS(pair(), cipher_suites=("TLS_AES_128_GCM_SHA256",))
    assert await _shakes_hands(tls, version) is served


@pytest.mark.parametrize(
    ("curves", "of_client", "served"),
    [
        ((), "prime256v1", True),
        ((), "secp384r1", True),
        ((24,), "secp384r1", True),
        ((24,), "prime256v1", False),
        ((4588, 29), "X25519", True),
        ((4588, 29), "prime256v1", False),
        ((25, 29, 23), "prime256v1", True),
        ((25, 29, 23), "secp521r1", False),  # of a list, the curve that most clients have
    ],
)
async def test_only_curves_of_the_list_exchange_keys(curves, of_client, served):
    tls = ServingTLS(pair(), curves=curves)
    assert await _shakes_hands(tls, ssl.TLSVersion.TLSv1_3, curve=of_client) is served


@pytest.mark.parametrize("curve", [23, 24, 25, 29])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_with_every_curve_connects_whichever_is_listed(version, curve):
    assert await _shakes_hands(ServingTLS(pair(), curves=(curve,)), version) is True


async def _shakes_hands(tls, version, *, cipher=False, curve=None):
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=tls.context)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if curve:
        context.set_ecdh_curve(curve)
    try:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except (ssl.SSLError, ConnectionError):
        return False
    else:
        chosen = writer.get_extra_info("cipher")[0]
        writer.close()
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            await writer.wait_closed()
        return chosen if cipher else True
    finally:
        server.close()
        await server.wait_closed()


def test_connections_outlast_the_aggregators():
    """kube-apiserver keeps idle connections for 90 s: ours must not be closed under its hands."""
    assert LimitSettings().idle_timeout > 90
