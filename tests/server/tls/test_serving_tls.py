"""What the server presents: files that are replaced, or its own; versions and cipher suites."""

import asyncio
import contextlib
import ipaddress
import ssl
import time

import pytest
from cryptography import x509

from metricsapi.config.limits import LimitSettings
from metricsapi.server.tls.context import ServingTLS, TLSError
from metricsapi.server.tls.issue import KeyPair, make_serving
from metricsapi.server.tls.serving_certificate import (
    CertificateFiles,
    SelfSigned,
    ServingNames,
    service_names,
)
from tests.server.http import connect
from tests.server.serving import PATHS, configmap, serving
from tests.support.conditions import until

NAMES = service_names("metrics-server", "kube-system")


def pair(lifetime=3600.0, now=None):
    return make_serving(["localhost"], ["127.0.0.1"], now=now or time.time(), lifetime=lifetime)


@contextlib.asynccontextmanager
async def following(source, tls):
    task = asyncio.create_task(source.follow(tls, 0.01))
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
    files = CertificateFiles(tmp_path / "tls.crt", tmp_path / "tls.key")
    async with serving(configmap(), pair=files.read()) as stand, following(files, stand.tls):
        async with connect(stand.port) as connection:
            assert (await connection.request(PATHS[0])).status == 200
            new = pair()
            (tmp_path / "tls.crt").write_bytes(new.certificate)  # a pair that does not fit yet
            await asyncio.sleep(0.05)
            assert stand.tls.pair != new
            (tmp_path / "tls.key").write_bytes(new.key)
            await until(lambda: stand.tls.pair == new, what="the new pair")
            assert (await connection.request(PATHS[0])).status == 200
        async with connect(stand.port) as connection:
            shown = connection.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            assert shown == ssl.PEM_cert_to_DER_cert(new.certificate.decode())


def test_a_missing_or_unfit_file_is_named(tmp_path):
    with pytest.raises(TLSError, match="nowhere"):
        CertificateFiles(tmp_path / "nowhere", tmp_path / "nowhere").read()
    first, second = pair(), pair()
    with pytest.raises(TLSError):
        ServingTLS(KeyPair(first.certificate, second.key))


def test_its_own_certificate_has_the_services_names_and_is_kept(tmp_path):
    made = SelfSigned(str(tmp_path), NAMES).read()
    names = made.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "metrics-server.kube-system.svc" in names.get_values_for_type(x509.DNSName)
    assert ipaddress.ip_address("127.0.0.1") in names.get_values_for_type(x509.IPAddress)
    assert SelfSigned(str(tmp_path), NAMES).read() == made
    assert SelfSigned(str(tmp_path), ServingNames(("other",))).read() != made


async def test_its_own_certificate_is_renewed_before_it_expires(tmp_path):
    now = [time.time()]
    own = SelfSigned(str(tmp_path), NAMES, lifetime=1000.0, clock=lambda: now[0])
    first = own.read()
    tls = ServingTLS(first)
    async with following(own, tls):
        now[0] += 700.0
        await asyncio.sleep(0.05)
        assert tls.pair == first
        now[0] += 200.0
        await until(lambda: tls.pair != first, what="a new certificate")
    assert first.expires() > now[0]


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


async def _shakes_hands(tls, version, *, cipher=False):
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=tls.context)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
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
