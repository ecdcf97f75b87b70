"""Names, issuer and validity of a certificate, read without verifying it, to explain failures."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from msgspec import Struct

from metricsapi.kube.pem import UNREADABLE, load_certificate, parse_authorities
from metricsapi.scrape.certificate_errors import common_name, made_by_kubelet

EXPIRES_SOON = 14.0  # days
_NAMES = 6  # shown: some certificates are for hundreds of hosts


class Certificate(Struct, frozen=True):
    """The part of a certificate that explains a failed handshake. Times are UTC."""

    subject: str
    issuer: str
    names: tuple[str, ...]  # DNS names and IP addresses of the SAN
    not_before: datetime
    not_after: datetime
    made_by_kubelet: bool

    @property
    def text(self) -> str:
        """One line of evidence."""
        names = ", ".join(self.names[:_NAMES]) or "no names"
        if more := len(self.names[_NAMES:]):
            names += f" and {more} more"
        signer = "itself" if self.issuer == self.subject else repr(self.issuer)
        return (
            f"{self.subject!r} for {names}; signed by {signer}; "
            f"valid {self.not_before:%Y-%m-%d} to {self.not_after:%Y-%m-%d}"
        )

    def days_left(self) -> float:
        """Return the days until it expires, negative afterwards."""
        return (self.not_after - datetime.now(UTC)).total_seconds() / 86400


def read_certificate(der: bytes) -> Certificate:
    """Read a DER certificate. Raises ValueError if it is none."""
    return _described(load_certificate(der))


def _described(cert: x509.Certificate) -> Certificate:
    try:
        san = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [str(name) for name in san.get_values_for_type(x509.DNSName)]
        names += [str(address) for address in san.get_values_for_type(x509.IPAddress)]
    except (x509.ExtensionNotFound, *UNREADABLE):
        names = []
    return Certificate(
        common_name(cert.subject),
        common_name(cert.issuer),
        tuple(names),
        cert.not_valid_before_utc,
        cert.not_valid_after_utc,
        made_by_kubelet(cert),
    )


def read_bundle(pem: bytes) -> list[Certificate]:
    """Read the usable certificates of a PEM bundle, as the server does; empty text has none.

    Raises ValueError if there is text, but no usable certificate in it.
    """
    if not pem.strip():
        return []
    return [_described(cert) for cert in parse_authorities(pem, "the value").certificates]
