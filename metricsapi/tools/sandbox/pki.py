"""Certificates: the embedded cluster's authorities and what they sign.

Tests issue theirs here too, broken ones included, so names, usages and times can all be chosen.
Times are seconds from now.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
DAY = 86400.0
_YEAR = 365 * DAY
# Python 3.13 verifies strictly (RFC 5280): an authority needs a key usage that allows signing.
_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Certificate:
    """A certificate with its key. `chain` holds the intermediate authorities that go with it."""

    def __init__(
        self,
        certificate: x509.Certificate,
        private: ec.EllipticCurvePrivateKey,
        chain: Sequence[Certificate] = (),
    ) -> None:
        self.certificate = certificate
        self.private = private
        self.chain = tuple(chain)

    @property
    def pem(self) -> bytes:
        """The certificate and its chain."""
        own = self.certificate.public_bytes(serialization.Encoding.PEM)
        return own + b"".join(issuer.pem for issuer in self.chain)

    @property
    def text(self) -> str:
        """`pem` as text."""
        return self.pem.decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key(self) -> bytes:
        """The private key, PEM, PKCS #8."""
        return self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def pair(self) -> bytes:
        """Certificate, chain and key in one PEM file."""
        return self.pem + self.key


class Authority(Certificate):
    """A certificate authority. It signs itself, or is an intermediate signed by `issuer`."""

    def __init__(
        self,
        name: str = "ca",
        *,
        issuer: Authority | None = None,
        start: float = -DAY,
        end: float = 10 * _YEAR,
    ) -> None:
        private = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        builder = _builder(subject, issuer.certificate.subject if issuer else subject, private)
        identifier = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
        certificate = (
            _between(builder, start, end)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_KEY_USAGE, critical=True)
            .add_extension(identifier, critical=False)
            .sign(issuer.private if issuer else private, hashes.SHA256())
        )
        # The root does not go with a chain: whoever verifies has it.
        super().__init__(certificate, private, (issuer,) if issuer and issuer.chain else ())

    @classmethod
    def load(cls, certificate: bytes, key: bytes) -> Authority:
        """Read an authority back from its certificate and its key, both PEM."""
        made = cls.__new__(cls)
        private = serialization.load_pem_private_key(key, None)
        Certificate.__init__(
            made,
            x509.load_pem_x509_certificate(certificate),
            cast("ec.EllipticCurvePrivateKey", private),
        )
        return made

    def issue(
        self,
        name: str,
        *,
        groups: Sequence[str] = (),
        usages: Sequence[x509.ObjectIdentifier] = (CLIENT,),
        names: Sequence[str] = (),
        start: float = -DAY,
        end: float = _YEAR,
    ) -> Certificate:
        """Sign a certificate: CN `name` (the user), O `groups`, SAN `names` (DNS, addresses)."""
        private = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(name, groups), self.certificate.subject, private)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.private.public_key())
        builder = _leaf(_between(builder, start, end), usages, names)
        builder = builder.add_extension(identifier, critical=False)
        return Certificate(builder.sign(self.private, hashes.SHA256()), private)


def self_signed(
    name: str, *, names: Sequence[str] = (), start: float = -DAY, end: float = _YEAR
) -> Certificate:
    """Make a serving certificate that is its own issuer, and no authority."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    builder = _leaf(_between(_builder(subject, subject, private), start, end), (SERVER,), names)
    return Certificate(builder.sign(private, hashes.SHA256()), private)


def load_pair(context: ssl.SSLContext, certificate: Certificate) -> None:
    """Present a certificate; the ssl module reads it from files only."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "pair.pem")
        path.touch(mode=0o600)
        path.write_bytes(certificate.pair)
        context.load_cert_chain(path)


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """Return a server's TLS context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_pair(context, certificate)
    return context


def _name(common_name: str, groups: Sequence[str] = ()) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    if common_name:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def _builder(
    subject: x509.Name, issuer: x509.Name, private: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
    )


def _between(builder: x509.CertificateBuilder, start: float, end: float) -> x509.CertificateBuilder:
    now = time.time()
    begins, ends = (dt.datetime.fromtimestamp(now + offset, dt.UTC) for offset in (start, end))
    return builder.not_valid_before(begins).not_valid_after(ends)


def _leaf(
    builder: x509.CertificateBuilder,
    usages: Sequence[x509.ObjectIdentifier],
    names: Sequence[str],
) -> x509.CertificateBuilder:
    builder = builder.add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if names:
        alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
