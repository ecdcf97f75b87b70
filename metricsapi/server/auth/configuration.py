"""Trusted authorities and headers: the `extension-apiserver-authentication` ConfigMap.

kube-apiserver publishes it in kube-system for aggregated API servers; flags may replace parts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from metricsapi.config.authentication import AuthenticationSettings
from metricsapi.kube.errors import UNDECODABLE
from metricsapi.kube.pem import Bundle, PEMError, parse_authorities
from metricsapi.server.auth.client_certificates import CertificateAuthorities

NAMESPACE = "kube-system"
CONFIGMAP = "extension-apiserver-authentication"
NOBODY = CertificateAuthorities(Bundle())

log = logging.getLogger(__name__)


class ConfigurationError(ValueError):
    """The configuration cannot be used; the message names the key or the flag."""


@dataclass(frozen=True)
class FrontProxy:
    """What shows that a request comes from the aggregation layer.

    `authorities` signed its certificate; `allowed_names` are its common names, and an empty
    list allows every name; the other fields are the headers of user, groups and extras, in order.
    Without authorities no request comes from the aggregation layer.
    """

    authorities: CertificateAuthorities = NOBODY
    allowed_names: frozenset[str] = frozenset()
    username_headers: tuple[str, ...] = ()
    uid_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ()
    extra_prefixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuthConfiguration:
    """Authorities of client and of front-proxy certificates.

    A certificate of one kind is never taken for the other.
    """

    clients: CertificateAuthorities = NOBODY
    front_proxy: FrontProxy = field(default_factory=FrontProxy)

    @property
    def pem(self) -> str:
        """Every authority whose certificates may complete a TLS handshake."""
        return self.clients.pem + "\n" + self.front_proxy.authorities.pem


def from_configmap(data: Mapping[str, str]) -> AuthConfiguration:
    """Return the configuration that a ConfigMap's `data` holds. Raises ConfigurationError."""
    return AuthConfiguration(
        clients=_authorities(data, "client-ca-file"),
        front_proxy=FrontProxy(
            authorities=_authorities(data, "requestheader-client-ca-file"),
            allowed_names=frozenset(_strings(data, "requestheader-allowed-names")),
            username_headers=_headers(data, "requestheader-username-headers"),
            uid_headers=_headers(data, "requestheader-uid-headers"),
            group_headers=_headers(data, "requestheader-group-headers"),
            extra_prefixes=_headers(data, "requestheader-extra-headers-prefix"),
        ),
    )


def front_proxy(flags: AuthenticationSettings, authorities: CertificateAuthorities) -> FrontProxy:
    """Return what --requestheader-* flags say; `authorities` are those of their file."""

    def lower(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.lower() for name in names)

    return FrontProxy(
        authorities=authorities,
        allowed_names=frozenset(flags.allowed_names),
        username_headers=lower(flags.username_headers),
        uid_headers=lower(flags.uid_headers),
        group_headers=lower(flags.group_headers),
        extra_prefixes=lower(flags.extra_headers_prefix),
    )


def _authorities(data: Mapping[str, str], key: str) -> CertificateAuthorities:
    text = data.get(key, "")
    if not text.strip():
        return NOBODY
    try:
        bundle = parse_authorities(text, f"{key} of the ConfigMap {NAMESPACE}/{CONFIGMAP}")
    except PEMError as error:
        raise ConfigurationError(str(error)) from error
    bundle.warn(log)
    return CertificateAuthorities(bundle)


def _strings(data: Mapping[str, str], key: str) -> tuple[str, ...]:
    """Return a list of strings in JSON; `null`, which is how Go writes no list, is an empty one."""
    try:
        return tuple(msgspec.json.decode(data.get(key) or "[]", type=list[str] | None) or ())
    except UNDECODABLE as error:
        raise ConfigurationError(f"{key} must be a JSON list of strings: {error}") from error


def _headers(data: Mapping[str, str], key: str) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in _strings(data, key) if name.strip())
