"""Rotation of the authorities that our replicas share in a Secret: pure functions of its data.

A Secret holds authorities, the newest first: their certificates in `ca.crt`, which is also the
bundle that callers verify us with, and their keys, in the same order, in `ca.key`. Everything
else follows from when each was made, so that replicas that see the same Secret do the same:
a new one is published first, signs once everyone has had time to see it, and the old one goes
after the same time again.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from metricsapi.kube.key_pair import KeyPair, parse_pair
from metricsapi.kube.pem import UNREADABLE, Bundle, read_blocks, read_bundle
from metricsapi.server.tls.issue import begins_at, is_current, made_at, make_authority, signing_key

CERTIFICATES, KEYS = "ca.crt", "ca.key"
DAY = 86400.0


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
    """Return the authorities in a Secret's `data` (base64), newest first.

    Any authority that verifiers take will do, whoever made it. Raises InvalidSecret.
    """
    if not data.get(CERTIFICATES) and not data.get(KEYS):
        return []
    try:
        bundle = _bundle(data.get(CERTIFICATES, ""))
        blocks = read_blocks(base64.b64decode(data.get(KEYS, ""), validate=True))
        keys = [block for block in blocks if block.label.endswith("PRIVATE KEY")]
        pairs = [
            parse_pair(_pem(certificate), key.pem, CERTIFICATES, KEYS)
            for certificate, key in zip(_all_certificates(bundle), keys, strict=True)
        ]
        for pair in pairs:
            _check_authority(pair)
    except (*UNREADABLE, TypeError) as error:
        raise InvalidSecret(f"{CERTIFICATES} and {KEYS}: {error}") from error
    return pairs


def _all_certificates(bundle: Bundle) -> tuple[x509.Certificate, ...]:
    """Return the certificates. Raises ValueError without any, or when one of them is not usable."""
    if bundle.skipped or not bundle.certificates:
        raise ValueError("; ".join(bundle.skipped) or "there is no certificate")
    return bundle.certificates


def _check_authority(pair: KeyPair) -> None:
    """Raise ValueError for a pair that cannot sign serving certificates."""
    signing_key(pair)
    extensions = pair.leaf.extensions
    try:
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
        if not constraints.ca:
            raise ValueError(f"{pair.leaf.subject.rfc4514_string()} is not a CA")
        if not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
            raise ValueError(f"{pair.leaf.subject.rfc4514_string()} may not sign certificates")
    except x509.ExtensionNotFound as error:
        if error.oid == x509.BasicConstraints.oid:
            raise ValueError(f"{pair.leaf.subject.rfc4514_string()} is not a CA") from None


def secret_data(authorities: Sequence[KeyPair]) -> dict[str, str]:
    """Return the `data` of a Secret that holds these authorities."""
    return {
        CERTIFICATES: base64.b64encode(ca_bundle(authorities)).decode(),
        KEYS: base64.b64encode(b"".join(pair.key for pair in authorities)).decode(),
    }


def ca_bundle(authorities: Sequence[KeyPair]) -> bytes:
    """Return the PEM bundle that verifies what any of these authorities signed."""
    return b"".join(pair.certificate for pair in authorities)


def rotate(
    authorities: Sequence[KeyPair],
    published: Collection[bytes],
    now: float,
    schedule: RotationSchedule,
) -> list[KeyPair]:
    """Return the authorities as they ought to be at epoch seconds `now`, the newest first.

    `published` are the certificates (PEM) that are in every bundle of callers.
    """
    rotated = [pair for pair in authorities if pair.expires() > now]
    if not rotated or not is_current(rotated[0], now):
        name = f"metrics-server-ca@{int(now)}"
        rotated.insert(0, make_authority(name, now=now, lifetime=schedule.authority))
    signs = rotated.index(signing_authority(rotated, published, now, schedule))
    if now - made_at(rotated[signs]) >= 2 * schedule.overlap:
        rotated = rotated[: signs + 1]
    return rotated


def signing_authority(
    authorities: Sequence[KeyPair],
    published: Collection[bytes],
    now: float,
    schedule: RotationSchedule,
) -> KeyPair:
    """Return the authority that signs: the newest that callers have known for the overlap.

    Without any it is the oldest, unless that was made while a clock was ahead and there is another:
    nobody can be verified by it yet.
    """
    for pair in authorities:
        if pair.certificate in published and now - made_at(pair) >= schedule.overlap:
            return pair
    valid = [pair for pair in authorities if begins_at(pair) <= now]
    return (valid or authorities)[-1]


def bundle_certificates(ca_bundle: str) -> frozenset[bytes]:
    """Return the usable certificates (PEM) of an APIService's `caBundle`, which is base64."""
    try:
        bundle = _bundle(ca_bundle)
    except (ValueError, TypeError):
        return frozenset()
    return frozenset(map(_pem, bundle.certificates))


def _bundle(text: str) -> Bundle:
    return read_bundle(base64.b64decode(text, validate=True), CERTIFICATES)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
