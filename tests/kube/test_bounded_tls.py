"""A peer of a TLS connection may send little beside content, and begin no second handshake."""

import ssl
import time

import pytest

from metricsapi.kube.bounded_tls import MOST_EMPTY, EmptyRecordsError
from metricsapi.kube.tls import verifying_context
from metricsapi.server.replicas.certificate_identity import CertificateIdentity
from metricsapi.server.tls.context import ServingTLS
from metricsapi.server.tls.issue import make_authority, make_serving
from tests.support.key_updates import key_updates
from tests.support.pki import client_context
from tests.support.tls_pair import ALERT, HANDSHAKE, TLSPair

NOW, DAY = time.time(), 86400.0
CA = make_authority("ours", now=NOW, lifetime=DAY)
PAIR = make_serving(["localhost"], [], now=NOW, lifetime=DAY, authority=CA)


def to_api_server():
    return verifying_context(CA.certificate.decode())


def to_leader():
    identity = CertificateIdentity(clock=lambda: NOW)
    identity.update([CA], CA)
    return identity.shown().context


def plain_server(tmp_path):
    """A server that sends no session ticket, and logs its secrets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name in ("cert", "key"):
        (tmp_path / name).write_bytes(PAIR.certificate if name == "cert" else PAIR.key)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    context.num_tickets, context.keylog_filename = 0, str(tmp_path / "keys")
    return context


@pytest.mark.parametrize("context", [to_api_server, to_leader])
def test_a_server_that_updates_its_keys_without_end_is_left(context, tmp_path):
    pair = TLSPair(context(), plain_server(tmp_path))
    pair.to_client.write(key_updates(tmp_path / "keys", MOST_EMPTY // 27 + 99, of="SERVER"))
    with pytest.raises(EmptyRecordsError, match="of TLS records without content"):
        pair.client.read(1)


@pytest.mark.parametrize("refuses", [True, False], ids=["refused", "the option is what refuses"])
@pytest.mark.parametrize("context", [to_api_server, to_leader])
def test_a_server_that_asks_for_another_handshake_gets_an_alert(context, refuses, tmp_path):
    ours, theirs = context(), plain_server(tmp_path)
    theirs.maximum_version = ssl.TLSVersion.TLSv1_2
    if not refuses:
        ours.options &= ~ssl.OP_NO_RENEGOTIATION
    pair = TLSPair(ours, theirs)
    pair.to_client.write(pair.renegotiation(tmp_path / "keys", by_client=False))
    with pytest.raises(ssl.SSLError):
        pair.client.read(1)
    assert pair.to_server.read(1)[0] == (ALERT if refuses else HANDSHAKE)


def test_a_client_that_begins_another_handshake_gets_an_alert(tmp_path):
    """OpenSSL 3 would refuse it by itself, too."""
    theirs = client_context(version=ssl.TLSVersion.TLSv1_2)
    theirs.keylog_filename = str(tmp_path / "keys")
    pair = TLSPair(theirs, ServingTLS(PAIR).context)
    pair.to_server.write(pair.renegotiation(tmp_path / "keys", by_client=True))
    with pytest.raises(ssl.SSLWantReadError):  # the connection goes on
        pair.server.read(1)
    assert pair.to_client.read(1)[0] == ALERT
