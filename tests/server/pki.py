"""Authorities and certificates for tests, as clusters make them."""

import datetime as dt
import ipaddress
import ssl
import tempfile
import time
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
DAY = 86400.0


def at(seconds):
    return dt.datetime.fromtimestamp(time.time() + seconds, dt.UTC)


@dataclass
class Certificate:
    certificate: x509.Certificate
    private: object
    chain: tuple = ()

    @property
    def pem(self):
        own = self.certificate.public_bytes(serialization.Encoding.PEM)
        return own + b"".join(issuer.pem for issuer in self.chain)

    @property
    def text(self):
        return self.pem.decode()

    @property
    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key(self):
        return self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


class Authority(Certificate):
    """Signs; the root of its own chain unless `issuer` is given."""

    def __init__(self, name="ca", *, issuer=None, start=-DAY, end=DAY):
        private = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, issuer.certificate.subject if issuer else subject, private)
        certificate = (
            builder.not_valid_before(at(start))
            .not_valid_after(at(end))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(issuer.private if issuer else private, hashes.SHA256())
        )
        super().__init__(certificate, private, (issuer,) if issuer and issuer.chain else ())

    def issue(self, name, *, groups=(), usages=(CLIENT,), start=-DAY, end=DAY, names=()):
        private = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        if name:
            subject.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
        builder = (
            _builder(x509.Name(subject), self.certificate.subject, private)
            .not_valid_before(at(start))
            .not_valid_after(at(end))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(each) for each in names]), critical=False
            )
        return Certificate(builder.sign(self.private, hashes.SHA256()), private)


def _general(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(subject, issuer, private):
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
    )


def client_context(certificate=None, *, trusts=None, version=None):
    """A client's TLS context; without `trusts` it takes any server."""
    if trusts is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's authorities
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context = ssl.create_default_context(cadata=trusts)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if certificate is not None:
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(certificate.pem + certificate.key)
            file.flush()
            context.load_cert_chain(file.name)
    return context
