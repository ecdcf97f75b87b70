"""Client certificates, verified against one set of authorities, apart from what TLS verified.

A TLS handshake succeeds for a certificate of *any* authority that may connect, so its success
proves nothing: each certificate is verified again against the very set that its use asks for.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from metricsapi.kube.pem import Bundle, load_certificate
from metricsapi.server.auth.chains import ChainError, verify_chain

RETRY = 10.0  # seconds until a refused certificate is verified again: it may become valid


@dataclass(frozen=True)
class Verification:
    """The result of verifying a certificate, good from `since` to `until` in epoch seconds.

    `fault` is None for a valid certificate, else why it is not.
    """

    fault: str | None
    since: float
    until: float


class CertificateAuthorities:
    """A set of authorities, fixed for its life: a rotation makes a new one."""

    def __init__(self, bundle: Bundle) -> None:
        """Trust the usable certificates of a bundle; there may be none at all."""
        self.pem = bundle.pem
        self._certificates = bundle.certificates

    def __bool__(self) -> bool:
        return bool(self._certificates)

    def verify(self, peer: PeerCertificates, now: float) -> Verification:
        """Verify the peer's chain, at epoch seconds `now`, for client authentication."""
        if not self._certificates:
            return Verification("no authority is configured", now, now + RETRY)
        at = dt.datetime.fromtimestamp(now, dt.UTC)
        try:
            chain = verify_chain(peer.certificate, peer.intermediates, self._certificates, at)
        except ChainError as error:
            return Verification(str(error), now, now + RETRY)
        return Verification(
            None,
            max(certificate.not_valid_before_utc.timestamp() for certificate in chain),
            min(certificate.not_valid_after_utc.timestamp() for certificate in chain),
        )


class PeerCertificates:
    """The certificates that one connection presented, and whether they are verified for a use."""

    def __init__(self, chain: Sequence[bytes]) -> None:
        """Read the peer's DER certificates as sent, its own first. Raises ValueError."""
        self._chain = chain
        self._verdicts: dict[str, tuple[CertificateAuthorities, Verification]] = {}
        try:
            self.certificate = load_certificate(chain[0])
        except ValueError as error:
            raise ValueError(f"the client certificate cannot be read: {error}") from error

    @cached_property
    def intermediates(self) -> list[x509.Certificate]:
        """The other certificates that were sent and can be parsed."""
        certificates = []
        for der in self._chain[1:]:
            with contextlib.suppress(ValueError):
                certificates.append(load_certificate(der))
        return certificates

    @cached_property
    def common_name(self) -> str:
        names = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[-1].value) if names else ""  # of several, Go takes the last

    @cached_property
    def organizations(self) -> tuple[str, ...]:
        names = self.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        return tuple(str(name.value) for name in names)

    @cached_property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def fault(self, use: str, authorities: CertificateAuthorities, now: float) -> str | None:
        """Return why no authority vouches for this peer at epoch seconds `now`; None if one does.

        The result is kept per `use` until these authorities are replaced or time runs out.
        """
        known = self._verdicts.get(use)
        if known is not None:
            verdict = known[1]
            if known[0] is authorities and verdict.since <= now < verdict.until:
                return verdict.fault
        verdict = authorities.verify(self, now)
        self._verdicts[use] = (authorities, verdict)
        return verdict.fault
