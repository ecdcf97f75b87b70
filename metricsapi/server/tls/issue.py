"""Certificates that we make ourselves: authorities, and serving certificates signed by them."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_SKEW = 3600.0  # seconds that a certificate is valid before it is made, for clocks that differ
_NAME_LIMIT = 64  # characters of a common name (RFC 5280)


@dataclass(frozen=True)
class KeyPair:
    """A certificate (and what it is chained to) and its key, both PEM."""

    certificate: bytes
    key: bytes

    @property
    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate)

    def made_at(self) -> float:
        """Give when we made it, in epoch seconds."""
        return self.leaf.not_valid_before_utc.timestamp() + _SKEW

    def expires(self) -> float:
        """Give the end of its life in epoch seconds."""
        return self.leaf.not_valid_after_utc.timestamp()

    def renew_at(self) -> float:
        """Give when to replace it, in epoch seconds: after four fifths of its life."""
        start = self.made_at()
        return start + 0.8 * (self.expires() - start)


def make_authority(name: str, *, now: float, lifetime: float) -> KeyPair:
    """Make a self-signed authority. `now` is in epoch seconds, `lifetime` in seconds."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    certificate = (
        _builder(subject, subject, key, now, lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def make_serving(
    names: Iterable[str],
    addresses: Iterable[str],
    *,
    now: float,
    lifetime: float,
    authority: KeyPair | None = None,
) -> KeyPair:
    """Make a serving certificate for DNS names and IP addresses, self-signed without authority.

    It never outlives its authority. The first name is also its common name.
    """
    names = list(dict.fromkeys(names))
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(names[0])
    issuer, signer = subject, key
    if authority is not None:
        issuer = authority.leaf.subject
        loaded = serialization.load_pem_private_key(authority.key, None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError("the authority's key is not an elliptic curve key")
        signer = loaded
        lifetime = min(lifetime, authority.expires() - now)
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [
        x509.IPAddress(ipaddress.ip_address(address)) for address in dict.fromkeys(addresses)
    ]
    certificate = (
        _builder(subject, issuer, key, now, lifetime)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    return _pair(certificate, key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: float,
    lifetime: float,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime.fromtimestamp(now - _SKEW, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(now + lifetime, dt.UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_NAME_LIMIT])])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
