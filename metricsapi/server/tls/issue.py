"""Certificates of our own: authorities, and serving certificates that they sign."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from metricsapi.kube.key_pair import KeyPair

# Seconds that a certificate is valid before it is made, since clocks may be hours apart; but no
# longer than it is valid after that.
_SKEW = 43200.0
_NAME_LIMIT = 64  # characters of a common name (RFC 5280)
_LEAST_RSA = 2048  # bits
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def made_at(pair: KeyPair) -> float:
    """Return when we made a certificate, in epoch seconds."""
    begins = begins_at(pair)
    return begins + min(_SKEW, (pair.expires() - begins) / 2)


def renew_at(pair: KeyPair) -> float:
    """Return when to replace a certificate of ours, in epoch seconds: after 4/5 of its life."""
    start = made_at(pair)
    return start + 0.8 * (pair.expires() - start)


def begins_at(pair: KeyPair) -> float:
    """Return since when a certificate is valid, in epoch seconds."""
    return pair.leaf.not_valid_before_utc.timestamp()


def is_current(pair: KeyPair, now: float) -> bool:
    """Return whether a certificate of ours need not be replaced at epoch seconds `now`.

    A certificate that is not valid yet has to be: it was made while a clock was hours ahead.
    """
    return begins_at(pair) <= now < renew_at(pair)


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
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [
        x509.IPAddress(ipaddress.ip_address(address)) for address in dict.fromkeys(addresses)
    ]
    usage = ExtendedKeyUsageOID.SERVER_AUTH
    return _make_leaf(names[0], alternatives, usage, now, lifetime, authority)


def make_client(uri: str, authority: KeyPair, now: float, lifetime: float) -> KeyPair:
    """Make a client certificate for a URI name, signed by the authority, which it never outlives.

    `now` is in epoch seconds, `lifetime` in seconds. Raises ValueError as `signing_key` does.
    """
    alternatives = [x509.UniformResourceIdentifier(uri)]
    usage = ExtendedKeyUsageOID.CLIENT_AUTH
    return _make_leaf(uri, alternatives, usage, now, lifetime, authority)


def _make_leaf(
    name: str,
    alternatives: Sequence[x509.GeneralName],
    usage: x509.ObjectIdentifier,
    now: float,
    lifetime: float,
    authority: KeyPair | None,
) -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    issuer, identifier = subject, _own_identifier(key)
    signer: SigningKey = key
    if authority is not None:
        issuer, signer = authority.leaf.subject, signing_key(authority)
        identifier = _identifier_of(authority.leaf)
        lifetime = min(lifetime, authority.expires() - now)
    certificate = (
        _builder(subject, issuer, key, now, lifetime)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    return _pair(certificate, key)


def signing_key(authority: KeyPair) -> SigningKey:
    """Return the key of an authority that may sign. Raises ValueError for what verifiers refuse.

    Go's verifier takes RSA, ECDSA on NIST's curves and Ed25519; OpenSSL's default security level
    asks for 2,048 bits of RSA.
    """
    key = serialization.load_pem_private_key(authority.key, None)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _LEAST_RSA:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, _CURVES):
        return key
    raise ValueError(
        "its key must be RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521, or Ed25519"
    )


def _own_identifier(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _identifier_of(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return the identifier by which verifiers find the issuer: its own, however it was made."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier(
            x509.SubjectKeyIdentifier.from_public_key(issuer.public_key()).digest, None, None
        )
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


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
        .not_valid_before(dt.datetime.fromtimestamp(now - min(_SKEW, lifetime), dt.UTC))
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
