"""Reads PEM certificates and keys, whatever file, ConfigMap or Secret they come from.

As OpenSSL and Go do, it ignores what stands between the blocks: comments in any encoding. A
certificate of a bundle that cannot be parsed is skipped with a warning; the others are used.
"""

from __future__ import annotations

import base64
import binascii
import logging
import ssl
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.utils import CryptographyDeprecationWarning

from metricsapi.kube.files import FileError, read_file

# What `cryptography` raises where a certificate is not as it should be; not all are ValueErrors.
UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_BEGIN, _END, _DASHES = b"-----BEGIN ", b"-----END ", b"-----"
_MOST_REASONS = 5  # that are logged or shown of one bundle
_CERTIFICATES = ("CERTIFICATE", "X509 CERTIFICATE")


class PEMError(FileError):
    """PEM that cannot be used; the message names where it comes from."""


@dataclass(frozen=True)
class Block:
    """One PEM block: its label, its content (DER), or why there is none."""

    label: str
    content: bytes
    error: str = ""

    @property
    def pem(self) -> bytes:
        """The block alone, with lines of 64 characters."""
        text = base64.b64encode(self.content)
        lines = [text[at : at + 64] for at in range(0, len(text), 64)]
        label = self.label.encode()
        return b"\n".join([_BEGIN + label + _DASHES, *lines, _END + label + _DASHES, b""])


@dataclass(frozen=True)
class Bundle:
    """The usable certificates of some PEM, in order.

    `skipped` has the others, as `certificate 2: why it cannot be used`.
    """

    certificates: tuple[x509.Certificate, ...] = ()
    skipped: tuple[str, ...] = ()
    source: str = ""

    def reasons(self) -> list[str]:
        """Return the first reasons why certificates are skipped, and the number of further ones."""
        more = len(self.skipped) - _MOST_REASONS
        return [*self.skipped[:_MOST_REASONS], *([f"{more} more certificates"] if more > 0 else ())]

    def warn(self, log: logging.Logger) -> None:
        """Log each certificate that is left out."""
        for reason in self.reasons():
            data = {"source": self.source, "reason": reason}
            log.warning("a certificate is left out", extra={"data": data})

    @cached_property
    def pem(self) -> str:
        """The usable certificates and nothing else: ASCII text that OpenSSL takes as it is."""
        return b"".join(map(_to_pem, self.certificates)).decode("ascii")


def load_certificate(der: bytes) -> x509.Certificate:
    """Parse a certificate. Raises ValueError when it cannot be parsed, of version 2 say.

    What `cryptography` accepts and only warns of, such as the serial number 0 of old authorities,
    is accepted in silence: warnings go to standard error, between the lines of the log.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            certificate = x509.load_der_x509_certificate(der)
            for name in (certificate.subject, certificate.issuer):
                name.rfc4514_string()
            _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        except UNREADABLE as error:
            raise ValueError(str(error)) from error
    return certificate


def read_blocks(content: bytes) -> Iterator[Block]:
    """Yield the PEM blocks of some text. A block that cannot be decoded has its `error`."""
    label: str | None = None
    lines: list[bytes] = []
    for line in _lines(content):
        if line.startswith(_BEGIN) and line.endswith(_DASHES):
            if label is not None:
                yield Block(label, b"", "it has no end")
            label, lines = _label(line, _BEGIN), []
        elif label is None:
            continue
        elif line.startswith(_END):
            if _label(line, _END) == label:
                yield _block(label, lines)
            else:
                yield Block(label, b"", f"it ends as {_label(line, _END)!r}")
            label = None
        else:
            lines.append(line)
    if label is not None:
        yield Block(label, b"", "it has no end")


def read_bundle(content: bytes | str, source: str) -> Bundle:
    """Read certificates; none at all is an empty bundle. `source` is for messages."""
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    blocks = [block for block in read_blocks(content) if block.label in _CERTIFICATES]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if blocks else None
    certificates, skipped = [], []
    for number, block in enumerate(blocks, 1):
        try:
            if block.error:
                raise PEMError(block.error)
            certificates.append(_parse(block.content, context))
        except (ValueError, ssl.SSLError) as error:
            skipped.append(f"certificate {number}: {error}")
    return Bundle(tuple(certificates), tuple(skipped), source)


def read_authorities(path: Path) -> Bundle:
    """Read a file of CA certificates. Raises FileError; PEMError when none of them is usable."""
    return parse_authorities(read_file(path), str(path))


def parse_authorities(content: bytes | str, source: str) -> Bundle:
    """Read CA certificates. Raises PEMError when there is no usable one."""
    bundle = read_bundle(content, source)
    if not bundle.certificates:
        reasons = "".join(f"; {reason}" for reason in bundle.reasons())
        raise PEMError(f"{source} holds no usable PEM certificate{reasons}")
    return bundle


def _lines(content: bytes) -> list[bytes]:
    """Split into lines without their ends and trailing blanks, whatever editor wrote them."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        content = content.decode("utf-16", "replace").encode()
    content = content.removeprefix(b"\xef\xbb\xbf")
    return [line.rstrip() for line in content.replace(b"\r", b"\n").split(b"\n")]


def _label(line: bytes, marker: bytes) -> str:
    return line.removeprefix(marker).removesuffix(_DASHES).decode("ascii", "replace")


def _block(label: str, lines: list[bytes]) -> Block:
    headers = [line for line in lines if b":" in line]
    if any(line.startswith(b"Proc-Type:") and b"ENCRYPTED" in line for line in headers):
        return Block(label, b"", "it is encrypted")
    text = b"".join(line.strip() for line in lines if b":" not in line)
    try:
        return Block(label, base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return Block(label, b"", "it is not base64")


def _parse(der: bytes, context: ssl.SSLContext | None) -> x509.Certificate:
    """Parse a certificate by both libraries that are to use it: `cryptography` and OpenSSL."""
    certificate = load_certificate(der)
    if context is not None:
        context.load_verify_locations(cadata=der)
    return certificate


def _to_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
