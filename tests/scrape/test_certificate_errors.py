"""Whom we believe to be a kubelet, and what we say when we do not."""

import asyncio
import base64
import contextlib
import json
import os
import socket
import ssl
import subprocess
import time

import pytest
from cryptography import x509

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.credentials import load_credentials
from metricsapi.kube.identity import Identity
from metricsapi.scrape.errors import CERTIFICATE_CAUSES, Cause, certificate_cause
from metricsapi.scrape.kubelet import kubelet_client
from metricsapi.scrape.targets import Target, target_of
from tests.support.conditions import until
from tests.support.kubelet import CLUSTER, Kubelet, Reader, http, is_sample, node, summary
from tests.support.needs import needed
from tests.support.pki import (
    CLIENT,
    SERVER,
    UNSUITABLE,
    Authority,
    Certificate,
    lenient_server_context,
    unsuitable,
)
from tests.support.serving_tasks import ServingTasks


async def test_a_certificate_for_the_address_is_believed():
    async with Kubelet(certificate="127.0.0.1") as kubelet, Reader(kubelet) as read:
        assert is_sample(await read())


async def test_a_certificate_with_the_nodes_name_alone_is_believed_and_remembered():
    """It lacks the IP address; the name is sent and verified instead, from then on at once."""
    async with Kubelet(certificate="n1") as kubelet, Reader(kubelet) as read:
        assert is_sample(await read())
        kubelet.hang_up()
        await asyncio.sleep(0)
        assert is_sample(await read())
        assert kubelet.connections == 2


async def test_a_certificate_of_another_node_is_refused_and_its_names_are_named():
    async with Kubelet(certificate="other.example") as kubelet, Reader(kubelet) as read:
        failure = await read()
        assert failure.cause is Cause.CERTIFICATE_LACKS_ADDRESS
        assert "DNS:other.example" in failure.message
        assert "the node n1" in failure.message
        assert kubelet.requests == []


async def test_names_in_a_certificate_write_no_lines_of_their_own_and_no_long_ones():
    names = ["a\n\x1b[31mERROR all is lost", *(f"{'x' * 200}{number}" for number in range(20))]
    certificate = CLUSTER.issue("n\x1b[2J1", usages=(SERVER,), names=names)
    async with Kubelet(certificate=certificate) as kubelet, Reader(kubelet) as read:
        failure = await read()
        assert failure.cause is Cause.CERTIFICATE_LACKS_ADDRESS
        assert "DNS:a \\x1b[31mERROR" in failure.message
        assert failure.message.isprintable()
        assert len(failure.message) <= 1000


async def test_the_nodes_name_is_no_way_around_the_authority():
    stranger = Authority("stranger")
    certificate = stranger.issue("system:node:n1", usages=(SERVER,), names=["n1"])
    async with Kubelet(certificate=certificate) as kubelet, Reader(kubelet) as read:
        failure = await read()
        assert failure.cause is Cause.CERTIFICATE_UNKNOWN_CA
        assert "'stranger'" in failure.message
        assert "--kubelet-certificate-authority" in failure.fix
        assert kubelet.requests == []


async def test_a_kubelet_that_signed_for_itself_is_distinguished_from_an_unknown_authority():
    """As a kubelet does without serverTLSBootstrap: CN NODE@TIME by NODE-ca@TIME, both shown."""
    own = Authority("n1-ca@1795449849")
    certificate = own.issue("n1@1795449849", usages=(SERVER,), names=["n1"])
    certificate.chain = (own,)
    async with Kubelet(certificate=certificate) as kubelet, Reader(kubelet) as read:
        failure = await read()
        assert failure.cause is Cause.CERTIFICATE_SELF_SIGNED
        assert "serving CSR was never approved" in failure.message
        assert "kubectl certificate approve" in failure.fix


async def test_an_expired_certificate_is_named_with_its_dates():
    certificate = CLUSTER.issue("n1", usages=(SERVER,), names=["127.0.0.1"], start=-9e5, end=-8e5)
    async with Kubelet(certificate=certificate) as kubelet, Reader(kubelet) as read:
        failure = await read()
        assert failure.cause is Cause.CERTIFICATE_EXPIRED
        assert "is valid from" in failure.message


async def test_an_expired_authority_is_not_blamed_on_the_certificate():
    """The certificate of an intermediate has expired, the kubelet's own has not."""
    issuer = Authority("old-ca", issuer=CLUSTER, start=-9e5, end=-8e5)
    signed = issuer.issue("n1", usages=(SERVER,), names=["127.0.0.1"])
    certificate = Certificate(signed.certificate, signed.private, (issuer,))
    async with Kubelet(certificate=certificate) as kubelet, Reader(kubelet) as read:
        failure = await read()
        assert failure.cause is Cause.CERTIFICATE_EXPIRED
        assert "but not its issuer 'old-ca'" in failure.message


PROPERTIES = {
    "extended key usage": "extended key usage clientAuth",
    "key usage": "key usage crl_sign",
    "a critical extension": "critical extension 1.3.6.1.4.1.99999.1",
    "a short key": "key RSA 1024",
}


@pytest.mark.parametrize("why", UNSUITABLE)
async def test_a_certificate_refused_for_what_it_says_is_not_blamed_on_its_authority(why):
    kubelet = Kubelet()
    kubelet.tls = lenient_server_context(unsuitable(CLUSTER, why, "127.0.0.1"))
    async with kubelet, Reader(kubelet) as read:
        failure = await read()
        assert failure.cause is Cause.CERTIFICATE_UNSUITABLE
        assert PROPERTIES[why] in failure.message
        assert "untrusted" not in failure.message
        assert "--kubelet-certificate-authority" not in failure.message
        assert kubelet.requests == []


async def test_insecure_tls_believes_anything():
    stranger = Authority("x").issue("y", usages=(SERVER,))
    async with Kubelet(certificate=stranger) as kubelet, Reader(kubelet, insecure_tls=True) as read:
        assert is_sample(await read())


async def test_completely_insecure_is_plain_http_without_a_token():
    async with Kubelet(certificate=None) as kubelet:
        async with Reader(kubelet, plain_http=True) as read:
            assert is_sample(await read())
        assert "authorization" not in kubelet.requests[0].headers


NO_TLS = {
    "as a Go server responds to TLS": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "smtp": b"220 mail.example ESMTP\r\n",
    "a database": b"\x4a\x00\x00\x00\x0a8.0.36\x00",
}


@pytest.mark.parametrize("greeting", NO_TLS.values(), ids=NO_TLS)
async def test_a_port_that_does_not_speak_tls_is_named(greeting):
    async def greet(reader, writer):
        await reader.read(1000)
        writer.write(greeting)
        with contextlib.suppress(ConnectionError):
            await reader.read()  # until the client closes

    tasks = ServingTasks(greet)
    server = await asyncio.start_server(tasks, "127.0.0.1", 0)
    try:
        async with Reader(Kubelet(), port=server.sockets[0].getsockname()[1]) as read:
            failure = await read()
    finally:
        await tasks.end(server)
    assert failure.cause is Cause.TLS
    assert "this port does not speak TLS" in failure.message


async def test_the_authority_file_is_read_again_when_it_changes(tmp_path, monkeypatch):
    """Connections that the old authority vouched for are not used again."""
    file = tmp_path / "ca.crt"
    file.write_text(CLUSTER.text)
    monkeypatch.setattr("metricsapi.kube.tls.PERIOD", 0.0)
    async with Kubelet() as kubelet, Reader(kubelet, certificate_authority=file) as read:
        assert is_sample(await read())
        replace(file, Authority("new").text)
        assert (await read()).cause is Cause.CERTIFICATE_UNKNOWN_CA
        replace(file, "no certificate at all")
        assert (await read()).cause is Cause.CERTIFICATE_UNKNOWN_CA
        replace(file, CLUSTER.text)
        assert is_sample(await read())


async def test_a_client_certificate_is_shown_and_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr("metricsapi.kube.identity.CERTIFICATE_PERIOD", 0.0)
    clients = Authority("kubelet-clients")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def write(issued):
        replace(certificate, issued.pem.decode())
        replace(key, issued.key.decode())

    write(Authority("wrong").issue("metrics", usages=(CLIENT,)))
    kubelet = Kubelet()
    kubelet.tls.load_verify_locations(cadata=clients.text)
    kubelet.tls.verify_mode = ssl.CERT_REQUIRED
    async with kubelet, Reader(kubelet, client_certificate=certificate, client_key=key) as read:
        assert (await read()).cause in (Cause.CREDENTIALS, Cause.RESET)
        write(clients.issue("metrics", usages=(CLIENT,)))
        assert is_sample(await read())


async def test_a_refused_client_certificate_is_named():
    """As Go does, the kubelet says so by an alert, after we think the handshake is done."""
    context = Kubelet().tls
    context.load_verify_locations(cadata=Authority("kubelet-clients").text)
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))

    listener.settimeout(10)

    def serve():
        connection, _address = listener.accept()
        connection.settimeout(10)
        with context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        ) as secure:
            with contextlib.suppress(ssl.SSLError):
                secure.do_handshake()
            while socket.socket.recv(secure, 65536):  # closing at once would lose the alert
                pass

    serving = asyncio.get_running_loop().run_in_executor(None, serve)
    with listener:
        async with Reader(Kubelet(), port=listener.getsockname()[1]) as read:
            failure = await read()
            assert failure.cause is Cause.CREDENTIALS, failure
            assert "our client certificate" in failure.message
        await serving


async def test_a_kubelet_whose_answer_cannot_be_decrypted_is_named():
    context = Kubelet().tls
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def serve():
        connection, _address = listener.accept()
        connection.settimeout(10)
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65536)
            socket.socket.send(secure, b"\x17\x03\x03\x00\x20" + bytes(32))
            with pytest.raises(ssl.SSLError, match=r"(?i)alert.bad.record.mac"):
                secure.recv(1)

    serving = asyncio.get_running_loop().run_in_executor(None, serve)
    with listener:
        async with Reader(Kubelet(), port=listener.getsockname()[1]) as read:
            await read()
        await serving


async def test_a_token_that_was_rotated_is_read_again_on_401(tmp_path):
    file = tmp_path / "token"
    file.write_text("old")
    valid = {"Bearer old"}

    def answer(request):
        if request.headers["authorization"] in valid:
            return http(summary("n1"))
        return http(b"Unauthorized", 401)

    identity = Identity(token_file=file)
    async with Kubelet(answer) as kubelet, Reader(kubelet, identity=identity) as read:
        assert is_sample(await read())
        valid.clear()
        failure = await read()
        assert failure.cause is Cause.UNAUTHORIZED
        file.write_text("new")
        valid.add("Bearer new")
        assert is_sample(await read())


async def test_a_certificate_problem_is_looked_at_once_not_each_time():
    async with Kubelet(certificate="other.example") as kubelet, Reader(kubelet) as read:
        first = await read()
        assert await read() == first
        # Refused handshakes do not reach the kubelet's handler; only the look without trust does.
        await until(lambda: kubelet.connections == 1)


@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
async def test_both_ip_families(host):
    async with Kubelet(certificate=host, host=host) as kubelet, Reader(kubelet) as read:
        assert is_sample(await read())
        assert kubelet.requests[0].headers["host"].rpartition(":")[0].strip("[]") == host


async def test_a_node_without_an_address_is_named():
    async with Kubelet() as kubelet, Reader(kubelet, target=Target("n1", (), 1)) as read:
        assert (await read()).cause is Cause.NO_ADDRESS


def replace(file, text):
    """As a mounted Secret changes: another file under the same name."""
    new = file.with_suffix(".new")
    new.write_text(text)
    os.replace(new, file)  # noqa: PTH105


def signed_with_sha1(folder):
    """A certificate as above; only openssl still makes such signatures."""
    openssl = needed("openssl")
    made = CLUSTER.issue("n1", usages=(SERVER,), names=["127.0.0.1"])
    (folder / "ca.pem").write_bytes(CLUSTER.pair)
    (folder / "leaf.pem").write_bytes(made.pair)
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
    new = ["req", "-new", "-key", "leaf.pem", "-subj", "/CN=n1", "-out", "leaf.csr"]
    sign = [
        *["x509", "-req", "-sha1", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.pem"],
        *["-set_serial", "7", "-extfile", "san", "-out", "weak.pem"],
    ]
    for arguments in (new, sign):
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)
    weak = x509.load_pem_x509_certificate((folder / "weak.pem").read_bytes())
    return Certificate(weak, made.private)


async def test_a_certificate_with_a_weak_hash_is_named_as_that(tmp_path):
    kubelet = Kubelet(certificate=None)
    kubelet.tls = lenient_server_context(signed_with_sha1(tmp_path))
    async with kubelet, Reader(kubelet) as read:
        failure = await read()
        assert failure.cause is Cause.CERTIFICATE_UNSUITABLE, failure
        assert "sha1" in failure.message


def test_every_code_of_openssl_has_a_cause_of_certificates():
    causes = {code: certificate_cause(code) for code in range(1, 100)}
    assert set(causes.values()) == CERTIFICATE_CAUSES
    assert causes[26] is Cause.CERTIFICATE_UNSUITABLE  # X509_V_ERR_INVALID_PURPOSE
    assert causes[20] is Cause.CERTIFICATE_UNKNOWN_CA


async def test_the_client_certificate_and_the_token_of_a_kubeconfig_are_shown_to_kubelets(tmp_path):
    """As metrics-server shows them: with kubeadm's admin.conf there is no other credential."""
    clients = Authority("kubernetes")
    admin = clients.issue("kubernetes-admin", groups=("system:masters",), usages=(CLIENT,))
    encoded = {
        "client-certificate-data": base64.b64encode(admin.pem).decode(),
        "client-key-data": base64.b64encode(admin.key).decode(),
    }
    authority = base64.b64encode(CLUSTER.pem).decode()
    path = tmp_path / "admin.conf"
    path.write_text(
        json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [
                    {
                        "name": "c",
                        "cluster": {
                            "server": "https://api.example:6443",
                            "certificate-authority-data": authority,
                            "proxy-url": "http://proxy.example:3128",
                            "tls-server-name": "api.example",
                        },
                    }
                ],
                "users": [{"name": "u", "user": {**encoded, "token": "secret"}}],
            }
        )
    )
    seen = []

    def answer(request):
        subject = dict(pair for part in request.peer["subject"] for pair in part)
        seen.append((subject["commonName"], request.headers["authorization"]))
        return http(summary("n1"))

    kubelet = Kubelet(answer)
    kubelet.tls.load_verify_locations(cadata=clients.text)
    kubelet.tls.verify_mode = ssl.CERT_REQUIRED
    async with kubelet:
        settings = KubeletSettings(port=kubelet.port)
        scraper = kubelet_client(settings, load_credentials(path, {}))
        target = target_of(node(kubelet.node, kubelet.host), settings)
        assert is_sample(await scraper.scrape(target, time.monotonic() + 5))
        scraper.close()
    assert seen == [("kubernetes-admin", "Bearer secret")]
