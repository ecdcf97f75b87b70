"""Certificates that `cryptography` does not make: of versions 1 and 2, with any key."""

import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

from metricsapi.tools.sandbox.pki import Certificate

KEYS = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505
    "ed448": ed448.Ed448PrivateKey.generate,
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
}


def make(name, *, issuer=None, key="p256", extensions=(), version=3, organization="", days=1):
    """A certificate, self-signed without `issuer`; `extensions` are (extension, critical)."""
    private = KEYS[key]()
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organization:
        names.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    subject = x509.Name(names)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=days))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    signer = issuer.private if issuer else private
    certificate = builder.sign(signer, algorithm(signer))
    made = Certificate(certificate, private)
    if version != 3:
        made = Certificate(x509.load_der_x509_certificate(as_version(made, signer, 1)), private)
    return made


def authority(name="ca", **options):
    """A CA as kubeadm makes one."""
    return make(
        name, extensions=[(x509.BasicConstraints(ca=True, path_length=None), True)], **options
    )


def algorithm(private):
    """The hash that a key signs with; None where the key decides."""
    edwards = isinstance(private, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return None if edwards else hashes.SHA256()


def address(text):
    return x509.IPAddress(ipaddress.ip_address(text))


def as_version(made, signer, version):
    """The same certificate, DER, as version 1 or 2: without extensions, signed anew."""
    certificate = made.certificate
    parts = [part for part in _parts(_content(certificate.tbs_certificate_bytes)) if part[0] < 0xA0]
    if version == 2:
        parts.insert(0, b"\xa0\x03\x02\x01\x01")
    tbs = _sequence(b"".join(parts))
    signature = _sign(signer, tbs)
    _, kind, _ = _parts(_content(made.der))
    bits = b"\x00" + signature
    return _sequence(tbs + kind + b"\x03" + _length(len(bits)) + bits)


def to_pem(der):
    return (
        b"-----BEGIN CERTIFICATE-----\n"
        + b"\n".join(_base64_lines(der))
        + b"\n-----END CERTIFICATE-----\n"
    )


def traditional(private):
    """A key in the form that `openssl ecparam -genkey` or `openssl genrsa -traditional` has."""
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _base64_lines(der):
    import base64

    text = base64.b64encode(der)
    return [text[at : at + 64] for at in range(0, len(text), 64)]


def _sign(private, data):
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(data, ec.ECDSA(hashes.SHA256()))
    if isinstance(private, rsa.RSAPrivateKey):
        from cryptography.hazmat.primitives.asymmetric import padding

        return private.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return private.sign(data)


def _sequence(content):
    return b"\x30" + _length(len(content)) + content


def _length(size):
    if size < 0x80:
        return bytes([size])
    data = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(data)]) + data


def _header(der):
    """Return the size of tag and length, and the length."""
    if der[1] < 0x80:
        return 2, der[1]
    count = der[1] & 0x7F
    return 2 + count, int.from_bytes(der[2 : 2 + count], "big")


def _content(der):
    begin, size = _header(der)
    return der[begin : begin + size]


def _parts(content):
    parts = []
    while content:
        begin, size = _header(content)
        parts.append(content[: begin + size])
        content = content[begin + size :]
    return parts
