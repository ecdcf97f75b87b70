"""Reads a certificate and its key, checks that they match, and loads them into a TLS context."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from metricsapi.kube.files import read_file
from metricsapi.kube.pem import (
    UNREADABLE,
    Block,
    PEMError,
    load_certificate,
    read_blocks,
    read_bundle,
)


@dataclass(frozen=True)
class KeyPair:
    """A certificate (and what it is chained to) and its key, both PEM."""

    certificate: bytes
    key: bytes

    @cached_property
    def leaf(self) -> x509.Certificate:
        return load_certificate(next(read_blocks(self.certificate)).content)

    def expires(self) -> float:
        """Return the end of its validity in epoch seconds."""
        return self.leaf.not_valid_after_utc.timestamp()


def read_pair(certificate: Path, key: Path) -> KeyPair:
    """Read a certificate, with what it is chained to, and its key. Raises FileError."""
    return parse_pair(read_file(certificate), read_file(key), str(certificate), str(key))


def parse_pair(certificate: bytes, key: bytes, certificate_source: str, source: str) -> KeyPair:
    """Read a certificate with its chain, and its key; the two must fit. Raises PEMError."""
    bundle = read_bundle(certificate, certificate_source)
    leaf_is_bad = any(reason.startswith("certificate 1:") for reason in bundle.skipped)
    if leaf_is_bad or not bundle.certificates:
        reasons = "".join(f"; {reason}" for reason in bundle.reasons())
        raise PEMError(f"{certificate_source} holds no usable PEM certificate{reasons}")
    block = _key_block(key, source)
    private = _private_key(block, source)
    try:
        matches = private.public_key() == bundle.certificates[0].public_key()
    except UNREADABLE as error:
        raise PEMError(f"{certificate_source}: its public key cannot be used: {error}") from None
    if not matches:
        raise PEMError(f"{source} is not the key of the certificate in {certificate_source}")
    pair = KeyPair(bundle.pem.encode(), block.pem)
    try:  # OpenSSL has rules of its own, such as for keys that are too short
        load_key_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pair)
    except (ssl.SSLError, ValueError) as error:
        raise PEMError(f"{certificate_source} and {source} cannot be used: {error}") from None
    return pair


def _private_key(block: Block, source: str) -> PrivateKeyTypes:
    try:
        return serialization.load_der_private_key(block.content, None)
    except TypeError:
        problem = f"{source}: the key is encrypted; a key without a password is needed"
        raise PEMError(problem) from None
    except (ValueError, UnsupportedAlgorithm):
        raise PEMError(f"{source} holds no usable PEM private key") from None


def validity_problem(pair: KeyPair, now: float) -> str:
    """Return why a certificate is not valid at `now` (epoch seconds); empty when it is."""
    begin, end = pair.leaf.not_valid_before_utc, pair.leaf.not_valid_after_utc
    at = dt.datetime.fromtimestamp(now, dt.UTC)
    if at > end:
        return f"expired on {end:%Y-%m-%d at %H:%M:%S} UTC"
    return f"is not valid before {begin:%Y-%m-%d %H:%M:%S} UTC" if at < begin else ""


def load_key_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Put a certificate and its key into a context; `ssl` takes them from a file only."""
    with _private_file(pair.certificate + b"\n" + pair.key) as name:
        context.load_cert_chain(name)


@contextlib.contextmanager
def _private_file(content: bytes) -> Iterator[str]:
    """Return the name of a file that nobody else reads.

    Where there is a /proc it is in memory: keys stay off disks, and no folder need be writable.
    """
    if Path("/proc/self/fd").is_dir() and hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("metricsapi"), "wb") as memory:
            memory.write(content)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
    else:
        with tempfile.NamedTemporaryFile(prefix="metricsapi-") as file:  # mode 0600
            file.write(content)
            file.flush()
            yield file.name


def _key_block(content: bytes, source: str) -> Block:
    """Return the first private key; what else the file holds, such as EC parameters, is skipped."""
    for block in read_blocks(content):
        if block.label.endswith("PRIVATE KEY"):
            if block.error:
                fix = "; a key without a password is needed" if "encrypted" in block.error else ""
                raise PEMError(f"{source}: the key cannot be used: {block.error}{fix}")
            return block
    raise PEMError(f"{source} holds no usable PEM private key")
