"""Client and front-proxy certificates of every kind that clusters use, in real handshakes."""

import asyncio
import datetime as dt
import json
import ssl
import time

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.server.auth.chains import ChainError, verify_chain
from metricsapi.server.auth.client_certificates import PeerCertificates
from tests.server.serving import GOOD_PATH, configmap, serving
from tests.support.https_client import connect
from tests.support.odd_certificates import as_version, authority, make
from tests.support.pki import CLIENT, SERVER, Certificate

ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")


def usages(*kinds):
    return (x509.ExtendedKeyUsage(kinds), False)


def names(*texts):
    return (x509.SubjectAlternativeName([x509.DNSName(text) for text in texts]), False)


def constraints(*, ca, length=None):
    return (x509.BasicConstraints(ca=ca, path_length=length), True)


def key_usage(*, signs):
    return (x509.KeyUsage(not signs, False, False, False, False, signs, False, False, False), True)


def leaf(issuer, *extensions, **options):
    return make("bob", issuer=issuer, extensions=extensions, organization="team", **options)


def with_chain(made, *chain):
    return Certificate(made.certificate, made.private, chain)


ROOTS = {key: authority(f"{key} ca", key=key) for key in ("p256", "rsa", "ed25519", "p384")}
ROOT = ROOTS["p256"]
OLD_ROOT = make("version 1 ca", version=1)  # as `openssl req -x509` made them long ago
MIDDLE = authority("intermediate", issuer=ROOT)
SHORT = make("short ca", extensions=[constraints(ca=True, length=0)])
BELOW_SHORT = authority("below short", issuer=SHORT)

# From the leaf to what is sent with it; the root in the ConfigMap.
GOOD = {
    "version 1, as openssl x509 -req makes it": (leaf(ROOT, version=1), ROOT),
    "version 1, with RSA": (leaf(ROOTS["rsa"], key="rsa", version=1), ROOTS["rsa"]),
    "an authority of version 1": (leaf(OLD_ROOT, usages(CLIENT)), OLD_ROOT),
    "Ed25519": (leaf(ROOT, key="ed25519"), ROOT),
    "Ed25519 by Ed25519": (leaf(ROOTS["ed25519"], key="ed25519"), ROOTS["ed25519"]),
    "RSA by ECDSA P-384": (leaf(ROOTS["p384"], usages(CLIENT), key="rsa"), ROOTS["p384"]),
    "no alternative name, as kubeadm's": (leaf(ROOT, usages(CLIENT)), ROOT),
    "an alternative name": (leaf(ROOT, usages(CLIENT), names("bob.example")), ROOT),
    "no extended key usage": (leaf(ROOT, key_usage(signs=False)), ROOT),
    "any extended key usage": (leaf(ROOT, usages(ANY, CLIENT)), ROOT),
    "client and server": (leaf(ROOT, usages(SERVER, CLIENT)), ROOT),
    "an intermediate that is sent": (with_chain(leaf(MIDDLE), MIDDLE), ROOT),
    "an intermediate that is trusted": (leaf(MIDDLE), MIDDLE),
    "path length 0": (leaf(SHORT), SHORT),
}
BAD = {
    "another authority": (leaf(authority("p256 ca")), ROOT),
    "for servers": (leaf(ROOT, usages(SERVER)), ROOT),
    "expired": (leaf(ROOT, days=0), ROOT),
    "a leaf as issuer": (with_chain(leaf(leaf(ROOT)), leaf(ROOT)), ROOT),
    "more intermediates than allowed": (with_chain(leaf(BELOW_SHORT), BELOW_SHORT), SHORT),
    "self-signed": (make("bob"), ROOT),
}


async def outcome(route, certificate, root):
    """Return the user of a request, the status of a refusal, or `handshake`."""
    data = configmap(**{route: root.text})
    headers = {"X-Remote-User": "bob"} if route == "front" else {}
    async with serving({**data, "requestheader-allowed-names": "[]"}) as running:
        running.reviewer.allows = lambda spec: spec["user"] == "bob"
        try:
            async with connect(running.port, certificate) as connection:
                answer = await connection.request(GOOD_PATH, headers=headers)
        except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            return "handshake"
    return json.loads(answer.body)["name"] if answer.status == 200 else answer.status


@pytest.mark.parametrize("route", ["clients", "front"])
@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
async def test_what_gos_verifier_takes_is_taken(route, case):
    assert await outcome(route, *case) == "bob"


@pytest.mark.parametrize("route", ["clients", "front"])
@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
async def test_what_gos_verifier_refuses_is_refused(route, case):
    assert await outcome(route, *case) in ("handshake", 401)


def verify(certificate, *roots, at=None):
    at = at or dt.datetime.now(dt.UTC)
    chain = [each.certificate for each in certificate.chain]
    return verify_chain(certificate.certificate, chain, [root.certificate for root in roots], at)


@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_our_own_check_accepts_them_too(case):
    assert verify(*case)[-1] == case[1].certificate


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_our_own_check_refuses_them_behind_the_handshakes(case):
    with pytest.raises(ChainError):
        verify(*case)


NO_AUTHORITY = make("plain ca")
NOT_SIGNING = make("not signing", extensions=[constraints(ca=True), key_usage(signs=False)])
SERVER_CA = make("server ca", extensions=[constraints(ca=True), usages(SERVER)])
NAMED = make(
    "named ca",
    extensions=[
        constraints(ca=True),
        (x509.NameConstraints([x509.DNSName("example")], None), True),
    ],
)


@pytest.mark.parametrize(
    ("certificate", "root", "reason"),
    [
        (leaf(NO_AUTHORITY), NO_AUTHORITY, "not an authority"),
        (leaf(NOT_SIGNING), NOT_SIGNING, "key usage"),
        (leaf(SERVER_CA), SERVER_CA, "extended key usage"),
        (leaf(ROOT, (UNKNOWN, True)), ROOT, r"critical extension 1\.2\.3\.4\.5"),
        (leaf(NAMED, names("bob.other")), NAMED, "name constraints"),
        (leaf(authority("rsa1024 ca", key="rsa1024")), ROOT, "not trusted"),
    ],
)
def test_the_error_says_why_a_chain_is_refused(certificate, root, reason):
    with pytest.raises(ChainError, match=reason):
        verify(certificate, root)


def test_name_constraints_do_not_concern_a_leaf_without_names():
    assert verify(leaf(NAMED), NAMED)


def test_a_leaf_that_is_itself_trusted_needs_no_issuer():
    own = make("bob")
    assert verify(own, own) == (own.certificate,)


def test_of_two_authorities_with_one_name_the_right_one_is_used():
    """As while `kubernetes` is rotated."""
    first, second = authority("kubernetes"), authority("kubernetes")
    for issuer in (first, second):
        assert verify(leaf(issuer), first, second)[-1] == issuer.certificate


def test_a_loop_of_issuers_ends():
    first, second = authority("a"), authority("b")
    crossed = [make("a", issuer=second, extensions=[constraints(ca=True)]),
               make("b", issuer=first, extensions=[constraints(ca=True)])]  # fmt: skip
    with pytest.raises(ChainError):
        verify(with_chain(leaf(crossed[0]), *crossed, first, second), ROOT)


def test_many_issuers_of_one_name_cost_a_bounded_number_of_signatures():
    many = [authority("flood") for _ in range(120)]
    began = time.perf_counter()
    with pytest.raises(ChainError, match="more signatures"):
        verify(with_chain(leaf(authority("flood")), *many), ROOT)
    assert time.perf_counter() - began < 5


def test_a_certificate_that_cannot_be_read_is_an_error_of_one_kind():
    with pytest.raises(ValueError, match="cannot be read"):
        PeerCertificates([as_version(ROOT, ROOT.private, 2)])
    peer = PeerCertificates([ROOT.der, b"nonsense", MIDDLE.der])
    assert peer.intermediates == [MIDDLE.certificate]


DER = leaf(MIDDLE, usages(CLIENT), names("bob.example")).der


@given(st.integers(0, len(DER) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_changes_nothing(at, value):
    der = DER[:at] + bytes([value]) + DER[at + 1 :]
    now = dt.datetime.now(dt.UTC)
    try:
        peer = PeerCertificates([der, MIDDLE.der])
        verify_chain(peer.certificate, peer.intermediates, [ROOT.certificate], now)
    except ValueError:
        return
    assert der == DER
