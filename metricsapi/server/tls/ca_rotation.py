"""The authorities that our replicas share: what a Secret holds, and what is to become of it.

A Secret holds authorities, the newest first: their certificates in `ca.crt`, which is also the
bundle that callers verify us with, and their keys, in the same order, in `ca.key`. Everything
else follows from when each was made, so that replicas that see the same Secret do the same:
a new one is published first, signs once everyone has had time to see it, and the old one goes
after the same time again.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from metricsapi.server.tls.issue import KeyPair, make_authority

CERTIFICATES, KEYS = "ca.crt", "ca.key"
DAY = 86400.0
_END = b"-----END PRIVATE KEY-----"


@dataclass(frozen=True)
class RotationSchedule:
    """How long things last, in seconds. Certificates are renewed after four fifths of their life.

    `overlap` is how long a new authority is published before it signs, and an old one after.
    """

    authority: float = 730 * DAY
    serving: float = 30 * DAY
    overlap: float = 3600.0


class InvalidSecret(ValueError):
    """The Secret holds something other than what we wrote."""


def read_authorities(data: Mapping[str, str]) -> list[KeyPair]:
    """Give the authorities in a Secret's `data` (base64), newest first. Raises InvalidSecret."""
    if not data.get(CERTIFICATES) and not data.get(KEYS):
        return []
    try:
        bundle = base64.b64decode(data.get(CERTIFICATES, ""), validate=True)
        keys = base64.b64decode(data.get(KEYS, ""), validate=True).split(_END)[:-1]
        certificates = x509.load_pem_x509_certificates(bundle)
        found = [
            KeyPair(_pem(certificate), key.strip() + b"\n" + _END + b"\n")
            for certificate, key in zip(certificates, keys, strict=True)
        ]
        for pair in found:
            private = serialization.load_pem_private_key(pair.key, None)
            if private.public_key() != pair.leaf.public_key():
                raise InvalidSecret(f"a key in {KEYS} does not fit its certificate")
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidSecret(f"{CERTIFICATES} and {KEYS}: {error}") from error
    return found


def secret_data(authorities: Sequence[KeyPair]) -> dict[str, str]:
    """Give the `data` of a Secret that holds these authorities."""
    return {
        CERTIFICATES: base64.b64encode(ca_bundle(authorities)).decode(),
        KEYS: base64.b64encode(b"".join(pair.key for pair in authorities)).decode(),
    }


def ca_bundle(authorities: Sequence[KeyPair]) -> bytes:
    """Give the PEM bundle that verifies what any of these authorities signed."""
    return b"".join(pair.certificate for pair in authorities)


def rotate(
    authorities: Sequence[KeyPair],
    published: Collection[bytes],
    now: float,
    schedule: RotationSchedule,
) -> list[KeyPair]:
    """Give the authorities as they ought to be at epoch seconds `now`, the newest first.

    `published` are the certificates (PEM) that are in every bundle of callers.
    """
    kept = [pair for pair in authorities if pair.expires() > now]
    if not kept or kept[0].renew_at() <= now:
        name = f"metrics-server-ca@{int(now)}"
        kept.insert(0, make_authority(name, now=now, lifetime=schedule.authority))
    signs = kept.index(signing_authority(kept, published, now, schedule))
    if now - kept[signs].made_at() >= 2 * schedule.overlap:
        kept = kept[: signs + 1]
    return kept


def signing_authority(
    authorities: Sequence[KeyPair],
    published: Collection[bytes],
    now: float,
    schedule: RotationSchedule,
) -> KeyPair:
    """Give the authority that signs: the newest that callers have known for the overlap."""
    for pair in authorities:
        if pair.certificate in published and now - pair.made_at() >= schedule.overlap:
            return pair
    return authorities[-1]


def bundle_certificates(ca_bundle: str) -> frozenset[bytes]:
    """Give the certificates (PEM) of an APIService's `caBundle`; none if it is not one."""
    try:
        found = x509.load_pem_x509_certificates(base64.b64decode(ca_bundle, validate=True))
    except (binascii.Error, ValueError):
        return frozenset()
    return frozenset(_pem(certificate) for certificate in found)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
