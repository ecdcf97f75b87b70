"""Certificates checked against one set of authorities, apart from what TLS checked.

A TLS handshake succeeds for a certificate of *any* authority that we let connect, so success
there tells nothing: each certificate is verified again against the very set that its use asks for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

RETRY = 10.0  # seconds until a refused certificate is looked at again: it may become valid
_CLIENT = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


def _for_clients(
    _policy: Policy, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None
) -> None:
    if usage is not None and _CLIENT.isdisjoint(usage):
        raise ValueError("its extended key usage is not client authentication")


# Go's rules rather than the web's: kubeadm's client certificates have no SAN, and a certificate
# without extended key usage is good for any. CertificateAuthorities must say that they are.
_LEAF = ExtensionPolicy.permit_all().may_be_present(
    x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _for_clients
)
_AUTHORITY = _LEAF.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)


@dataclass(frozen=True)
class Verification:
    """What one set of authorities says of a certificate; `since` to `until` in epoch seconds.

    `fault` is None for a valid certificate, else why it is not.
    """

    fault: str | None
    since: float
    until: float


class CertificateAuthorities:
    """A set of authorities, fixed for its life: a rotation makes a new one."""

    def __init__(self, pem: str) -> None:
        """Take PEM certificates, or nothing at all. Raises ValueError when it is neither."""
        self.pem = pem.strip()
        certificates = x509.load_pem_x509_certificates(self.pem.encode()) if self.pem else []
        self._store = Store(certificates) if certificates else None

    def __bool__(self) -> bool:
        return self._store is not None

    def verify(self, peer: PeerCertificates, now: float) -> Verification:
        """Verify the peer's chain, at epoch seconds `now`, for client authentication."""
        if self._store is None:
            return Verification("no authority is configured", now, now + RETRY)
        verifier = (
            PolicyBuilder()
            .store(self._store)
            .time(dt.datetime.fromtimestamp(now, dt.UTC))
            .max_chain_depth(8)
            .extension_policies(ca_policy=_AUTHORITY, ee_policy=_LEAF)
            .build_client_verifier()
        )
        try:
            chain = verifier.verify(peer.certificate, peer.intermediates).chain
        except (VerificationError, ValueError) as error:
            return Verification(str(error), now, now + RETRY)
        return Verification(
            None,
            max(certificate.not_valid_before_utc.timestamp() for certificate in chain),
            min(certificate.not_valid_after_utc.timestamp() for certificate in chain),
        )


class PeerCertificates:
    """The certificates that one connection presented, and what each authority says of them."""

    def __init__(self, chain: Sequence[bytes]) -> None:
        """Take the peer's DER certificates as sent, its own first. Raises ValueError."""
        self._chain = chain
        self._verdicts: dict[str, tuple[CertificateAuthorities, Verification]] = {}
        self.certificate = x509.load_der_x509_certificate(chain[0])

    @cached_property
    def intermediates(self) -> list[x509.Certificate]:
        return [x509.load_der_x509_certificate(der) for der in self._chain[1:]]

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
        """Say why this peer is not one of `authorities` at epoch seconds `now`; None if it is.

        The answer is kept per `use` until these authorities are replaced or time runs out.
        """
        known = self._verdicts.get(use)
        if known is not None:
            verdict = known[1]
            if known[0] is authorities and verdict.since <= now < verdict.until:
                return verdict.fault
        verdict = authorities.verify(self, now)
        self._verdicts[use] = (authorities, verdict)
        return verdict.fault
