"""Certificate chains, verified for client authentication as Go's verifier does (crypto/x509).

`cryptography` has the rules of the web, which refuse what clusters use: certificates of version 1,
without alternative names, with Ed25519 keys. These are the rules of `Certificate.Verify` with a
pool of roots and the usage ClientAuth, signatures checked by `cryptography`:

- a root is trusted because it is in the pool, self-signed or not; a leaf in it needs no issuer;
- issuers are found by name, and may sign by their basic constraints, key usage and path length;
- every certificate is valid at the time, and has no critical extension that is not understood;
- extended key usage, where a certificate of the chain has it, includes client authentication;
- signatures with MD5 or SHA-1, and RSA keys below 1024 bits, count for nothing.

Name constraints are not evaluated: a chain that has any is refused for a leaf that has alternative
names.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from metricsapi.kube.pem import UNREADABLE

MOST_SIGNATURES = 100  # checks for one leaf, as in Go: presented chains are an attacker's choice
_USAGES = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
_UNDERSTOOD = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.NAME_CONSTRAINTS,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.CERTIFICATE_POLICIES,
    ExtensionOID.CRL_DISTRIBUTION_POINTS,
    ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
}
_INSECURE = (hashes.MD5, hashes.SHA1)
_LEAST_RSA = 1024  # bits

Chain = tuple[x509.Certificate, ...]
E = TypeVar("E", bound=x509.ExtensionType)


class ChainError(ValueError):
    """A certificate is not verified; the message says why, of the attempt that got furthest."""


def verify_chain(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: dt.datetime,
) -> Chain:
    """Return the first valid chain from the leaf to a root, both included. Raises ChainError."""
    search = _Search(intermediates, roots, at)
    search.check(leaf, ())
    if leaf in roots:
        chains: Iterator[Chain] = iter([(leaf,)])
    else:
        chains = search.chains((leaf,))
    for chain in chains:
        if all(_allows_clients(certificate) for certificate in chain):
            return chain
        search.problem = "its extended key usage, or an issuer's, is not client authentication"
    raise ChainError(search.problem)


class _Search:
    """Depth first, roots before intermediates, at most 100 signatures."""

    def __init__(
        self,
        intermediates: Sequence[x509.Certificate],
        roots: Sequence[x509.Certificate],
        at: dt.datetime,
    ) -> None:
        self.problem = "it is signed by an authority that is not trusted for this"
        self._intermediates = intermediates
        self._roots = roots
        self._at = at
        self._signatures = 0

    def chains(self, chain: Chain) -> Iterator[Chain]:
        """Yield each chain to a root that begins with `chain`."""
        for issuer in self._issuers(chain, self._roots):
            yield (*chain, issuer)
        for issuer in self._issuers(chain, self._intermediates):
            if _extension(issuer, x509.BasicConstraints) is None:
                self.problem = "an intermediate certificate is not an authority"
                continue
            yield from self.chains((*chain, issuer))

    def _issuers(
        self, chain: Chain, pool: Sequence[x509.Certificate]
    ) -> Iterator[x509.Certificate]:
        child = chain[-1]
        for issuer in pool:
            if issuer.subject != child.issuer or issuer in chain:
                continue
            if self._signatures >= MOST_SIGNATURES:
                raise ChainError("more signatures than are checked for one certificate")
            self._signatures += 1
            try:
                _check_signature(child, issuer)
                self.check(issuer, chain)
            except ChainError as error:
                self.problem = str(error)
            else:
                yield issuer

    def check(self, certificate: x509.Certificate, below: Chain) -> None:
        """Check a certificate by itself and as the issuer of the chain below it."""
        if not certificate.not_valid_before_utc <= self._at <= certificate.not_valid_after_utc:
            raise ChainError("a certificate has expired or is not yet valid")
        for extension in _extensions(certificate):
            if extension.critical and extension.oid not in _UNDERSTOOD:
                raise ChainError(f"the critical extension {extension.oid.dotted_string} is unknown")
        constraints = _extension(certificate, x509.BasicConstraints)
        length = constraints.path_length if constraints is not None else None
        if below and length is not None and len(below) - 1 > length:
            raise ChainError("there are more intermediate certificates than an issuer allows")
        if (
            below
            and _extension(certificate, x509.NameConstraints) is not None
            and _extension(below[0], x509.SubjectAlternativeName) is not None
        ):
            raise ChainError("name constraints are not supported for alternative names")


def _check_signature(child: x509.Certificate, issuer: x509.Certificate) -> None:
    """Check that the issuer may sign certificates and has signed this one. Raises ChainError."""
    constraints = _extension(issuer, x509.BasicConstraints)
    if (constraints is None and issuer.version is x509.Version.v3) or (
        constraints is not None and not constraints.ca
    ):
        raise ChainError("an issuer is not an authority")
    usage = _extension(issuer, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise ChainError("an issuer's key usage does not include signing certificates")
    try:
        if isinstance(child.signature_hash_algorithm, _INSECURE):
            raise ChainError("a signature uses MD5 or SHA-1")
        key = issuer.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA:
            raise ChainError("an issuer's RSA key is too short")
        child.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError) as error:
        raise ChainError("a signature is not that of the issuer of this name") from error
    except UNREADABLE as error:
        raise error if isinstance(error, ChainError) else ChainError(str(error)) from error


def _allows_clients(certificate: x509.Certificate) -> bool:
    usage = _extension(certificate, x509.ExtendedKeyUsage)
    return usage is None or not _USAGES.isdisjoint(usage)


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    for extension in _extensions(certificate):
        if isinstance(extension.value, kind):
            return extension.value
    return None


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    """Return the extensions. Raises ChainError when they cannot be parsed."""
    try:
        return certificate.extensions
    except UNREADABLE as error:
        raise ChainError(f"its extensions cannot be read: {error}") from error
