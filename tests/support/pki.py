"""Certificates for tests: the sandbox issues them; here are clients that present them."""

import datetime as dt
import ipaddress
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from metricsapi.tools.sandbox.pki import (
    CLIENT,
    DAY,
    SERVER,
    Authority,
    Certificate,
    load_pair,
    self_signed,
    server_context,
)

__all__ = [
    "CLIENT",
    "DAY",
    "SERVER",
    "UNSUITABLE",
    "Authority",
    "Certificate",
    "client_context",
    "lenient_server_context",
    "load_pair",
    "self_signed",
    "server_context",
    "unsuitable",
]


def client_context(certificate=None, *, trusts=None, version=None):
    """Return a client's TLS context; without `trusts`, PEM text, it accepts any server."""
    if trusts is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's authorities
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context = ssl.create_default_context(cadata=trusts)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if certificate is not None:
        load_pair(context, certificate)
    return context


UNSUITABLE = ("extended key usage", "key usage", "a critical extension", "a short key")


def unsuitable(authority, why, *addresses):
    """Sign a serving certificate that no client accepts, although it knows the authority."""
    private = ec.generate_private_key(ec.SECP256R1())
    if why == "a short key":
        private = rsa.generate_private_key(65537, 1024)  # noqa: S505  that is the test
    now = dt.datetime.now(dt.UTC)
    usage = [CLIENT if why == "extended key usage" else SERVER]
    names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "system:node:n1")]))
        .issuer_name(authority.certificate.subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    )
    if why == "key usage":
        only_crls = x509.KeyUsage(*[False] * 6, True, *[False] * 2)
        builder = builder.add_extension(only_crls, critical=True)
    if why == "a critical extension":
        number = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
        unknown = x509.UnrecognizedExtension(number, bytes([5, 0]))
        builder = builder.add_extension(unknown, critical=True)
    return Certificate(builder.sign(authority.private, hashes.SHA256()), private)


def lenient_server_context(certificate):
    """Return a server's TLS context that presents even a key that OpenSSL finds too short."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    load_pair(context, certificate)
    return context
