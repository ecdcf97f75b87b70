"""PEM files that flags name: read, and looked at closely enough to say what is wrong with which."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from metricsapi.kube.credentials import load_client_certificate

# What `cryptography` raises where a certificate is not as it should be; not all are ValueErrors.
UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class PEMError(ValueError):
    """A file cannot be used; the message names it."""


def read_authorities(path: Path) -> str:
    """Read a bundle of CA certificates. Raises PEMError."""
    content = _read(path)
    _certificates(content, path)
    return content.decode("ascii", "replace")


def read_pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    """Read a certificate, with what it is chained to, and its key. Raises PEMError."""
    pair = _read(certificate), _read(key)
    leaf = _certificates(pair[0], certificate)[0]
    try:
        private = serialization.load_pem_private_key(pair[1], None)
    except TypeError:
        raise PEMError(f"{key}: the key is encrypted; a key without a password is needed") from None
    except (ValueError, UnsupportedAlgorithm):
        raise PEMError(f"{key} holds no usable PEM private key") from None
    try:
        matches = private.public_key() == leaf.public_key()
    except UNREADABLE as error:
        raise PEMError(f"{certificate}: its public key cannot be used: {error}") from None
    if not matches:
        raise PEMError(f"{key} is not the key of the certificate in {certificate}")
    try:  # OpenSSL has a word to say too, as about keys that are too short
        load_client_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), *pair)
    except (ssl.SSLError, ValueError) as error:
        raise PEMError(f"{certificate} and {key} cannot be used: {error}") from None
    return pair


def validity_problem(certificate: bytes, now: float) -> str:
    """Say that a PEM certificate is not valid at `now` (epoch seconds), or nothing when it is."""
    leaf = x509.load_pem_x509_certificate(certificate)
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    at = dt.datetime.fromtimestamp(now, dt.UTC)
    if at > end:
        return f"expired on {end:%Y-%m-%d at %H:%M:%S} UTC"
    return f"is not valid before {begin:%Y-%m-%d %H:%M:%S} UTC" if at < begin else ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise PEMError(f"no such file: {path}") from None
    except OSError as error:
        raise PEMError(f"cannot read {path}: {error.strerror or error}") from None


def _certificates(content: bytes, path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except UNREADABLE:
        raise PEMError(f"{path} holds no usable PEM certificate") from None
