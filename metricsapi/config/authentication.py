"""Settings of authentication and authorization."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metricsapi.config.groups import AUTHENTICATION, AUTHORIZATION


@dataclass(frozen=True, kw_only=True)
class AuthenticationSettings:
    """How callers are identified: client certificates, front proxy, tokens. Seconds."""

    kubeconfig: Path | None = AUTHENTICATION.kubeconfig(
        "authentication-kubeconfig",
        "kubeconfig file pointing at the 'core' kubernetes server with enough rights to create "
        "tokenreviews.authentication.k8s.io.",
    )
    skip_lookup: bool = AUTHENTICATION.boolean(
        "authentication-skip-lookup",
        False,
        "Do not look up missing authentication configuration in the cluster.",
    )
    token_cache_ttl: float = AUTHENTICATION.duration(
        "authentication-token-webhook-cache-ttl",
        10.0,
        "How long responses of TokenReview are cached.",
    )
    tolerate_lookup_failure: bool = AUTHENTICATION.boolean(
        "authentication-tolerate-lookup-failure",
        False,
        "Start even when the authentication configuration cannot be looked up; until it can, "
        "client certificates and front proxies are not accepted.",
    )
    client_ca_file: Path | None = AUTHENTICATION.file(
        "client-ca-file",
        "If set, a client certificate signed by one of the authorities in this file is "
        "authenticated as its CommonName.",
    )
    allowed_names: tuple[str, ...] = AUTHENTICATION.strings(
        "requestheader-allowed-names",
        (),
        "Common names of client certificates that may provide user names in headers. If empty, "
        "every certificate of --requestheader-client-ca-file may.",
    )
    requestheader_client_ca_file: Path | None = AUTHENTICATION.file(
        "requestheader-client-ca-file",
        "Root certificate bundle to verify client certificates with before trusting user names "
        "in headers.",
    )
    extra_headers_prefix: tuple[str, ...] = AUTHENTICATION.strings(
        "requestheader-extra-headers-prefix",
        ("x-remote-extra-",),
        "Prefixes of request headers with extra attributes of the user.",
    )
    group_headers: tuple[str, ...] = AUTHENTICATION.strings(
        "requestheader-group-headers", ("x-remote-group",), "Request headers with groups."
    )
    uid_headers: tuple[str, ...] = AUTHENTICATION.strings(
        "requestheader-uid-headers", (), "Request headers with UIDs. X-Remote-Uid is suggested."
    )
    username_headers: tuple[str, ...] = AUTHENTICATION.strings(
        "requestheader-username-headers", ("x-remote-user",), "Request headers with user names."
    )


@dataclass(frozen=True, kw_only=True)
class AuthorizationSettings:
    """How it is decided what a caller may do. Durations in seconds."""

    always_allow_paths: tuple[str, ...] = AUTHORIZATION.strings(
        "authorization-always-allow-paths",
        ("/healthz", "/readyz", "/livez"),
        "HTTP paths that are allowed without asking the 'core' kubernetes server; a trailing * "
        "matches any rest.",
    )
    kubeconfig: Path | None = AUTHORIZATION.kubeconfig(
        "authorization-kubeconfig",
        "kubeconfig file pointing at the 'core' kubernetes server with enough rights to create "
        "subjectaccessreviews.authorization.k8s.io.",
    )
    authorized_ttl: float = AUTHORIZATION.duration(
        "authorization-webhook-cache-authorized-ttl",
        10.0,
        "How long 'allowed' responses are cached.",
    )
    unauthorized_ttl: float = AUTHORIZATION.duration(
        "authorization-webhook-cache-unauthorized-ttl",
        10.0,
        "How long 'denied' responses are cached.",
    )
