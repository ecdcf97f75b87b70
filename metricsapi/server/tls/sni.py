"""Which certificate a client gets by the name that it asks for (SNI).

The rules of k8s.io/apiserver (`pkg/server/dynamiccertificates`) and of Go's TLS under it: a name
itself before one with `*`, a pattern that was given before a name that is only in a certificate,
and of equals the first.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DOMAIN = re.compile(rf"\*|(\*\.)?{_LABEL}(\.{_LABEL})*")
_NAME_LENGTH = 253


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names that a certificate is for, in lower case.

    Its common name counts if it can be a DNS name. IP addresses do not: no client asks for one.
    """
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    names = [name for first in common[:1] if _is_domain(name := str(first.value).lower())]
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names += extension.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        pass
    return [name.lower() for name in names]


def by_name(
    given: Sequence[Sequence[str]], certificates: Sequence[x509.Certificate]
) -> dict[str, int]:
    """Return the number of the certificate for each name, from 1 on.

    `given` has the patterns of each; one without any is for the names in it.
    """
    table: dict[str, int] = {}
    for number, patterns in enumerate(given, 1):
        for pattern in patterns:
            table.setdefault(pattern, number)
    for number, (patterns, certificate) in enumerate(zip(given, certificates, strict=True), 1):
        for name in () if patterns else names_of(certificate):
            table.setdefault(name, number)
    return table


def choose(table: Mapping[str, int], requested: str | None) -> int:
    """Return the number for the requested name, or 0 for the default certificate."""
    labels = (requested or "").lower().split(".")
    for count in range(len(labels) + 1):
        candidate = ".".join(["*"] * count + labels[count:])
        if requested and candidate in table:
            return table[candidate]
    return 0


def _is_domain(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return len(name) <= _NAME_LENGTH and _DOMAIN.fullmatch(name) is not None
    return False
