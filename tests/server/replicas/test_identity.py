"""Which certificates make a replica, with real ones."""

import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from metricsapi.server.auth.client_certificates import PeerCertificates
from metricsapi.server.replicas.certificate_identity import URI, CertificateIdentity
from metricsapi.server.replicas.identity import NoIdentityError
from metricsapi.server.tls.issue import make_authority, make_client, make_serving

NOW = time.time()
DAY = 86400.0
CA, OTHER = (make_authority(name, now=NOW, lifetime=700 * DAY) for name in ("ours", "theirs"))


def peer(pair):
    """The certificates as a connection presents them."""
    leaf = x509.load_pem_x509_certificate(pair.certificate)
    return PeerCertificates([leaf.public_bytes(Encoding.DER)])


def identity(*authorities):
    made = CertificateIdentity(clock=lambda: NOW)
    made.update(authorities, authorities[-1])
    return made


def test_a_certificate_of_our_ca_with_the_uri_is_a_replica():
    assert identity(CA).fault(peer(make_client(URI, CA, NOW, DAY)), NOW) is None


def test_certificates_of_the_old_and_of_the_new_ca_are_replicas_while_the_ca_rotates():
    both = identity(OTHER, CA)
    for authority in (CA, OTHER):
        assert both.fault(peer(make_client(URI, authority, NOW, DAY)), NOW) is None
    only = identity(OTHER)
    assert only.fault(peer(make_client(URI, CA, NOW, DAY)), NOW)


@pytest.mark.parametrize(
    ("pair", "now"),
    [
        (make_client(URI, OTHER, NOW, DAY), NOW),
        (make_client("urn:metricsapi:other", CA, NOW, DAY), NOW),
        (make_serving(["metrics-server.kube-system.svc"], [], now=NOW, lifetime=DAY, authority=CA),
         NOW),
        (make_serving([URI], [], now=NOW, lifetime=DAY, authority=CA), NOW),
        (make_client(URI, CA, NOW, DAY), NOW + 2 * DAY),
    ],
    ids=["another CA", "another URI", "serving certificate", "URI as a DNS name", "expired"],
)  # fmt: skip
def test_any_other_certificate_is_none(pair, now):
    assert identity(CA).fault(peer(pair), now)


def test_whoever_shows_no_certificate_is_none():
    assert identity(CA).fault(None, NOW)


def test_without_authorities_nobody_is_a_replica_and_nobody_is_followed():
    nobody = CertificateIdentity(clock=lambda: NOW)
    with pytest.raises(NoIdentityError, match="--manage-ca-bundle"):
        nobody.shown()
    assert nobody.fault(peer(make_client(URI, CA, NOW, DAY)), NOW)


def test_a_client_certificate_is_made_anew_before_it_expires():
    now = [NOW]
    made = CertificateIdentity(clock=lambda: now[0])
    made.update([CA], CA)
    first = made.shown().context
    assert made.shown().context is first
    now[0] += 0.9 * DAY
    assert made.shown().context is not first


def test_a_certificate_of_a_clock_that_was_ahead_is_made_anew():
    now = [NOW + DAY]
    follower = CertificateIdentity(clock=lambda: now[0])
    follower.update([CA], CA)
    ahead = follower.shown().context
    now[0] = NOW
    assert follower.shown().context is not ahead
    assert follower.shown().context is follower.shown().context
