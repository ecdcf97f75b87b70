"""The serving certificates and TLS of the server, built from its settings."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence

from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.key_pair import KeyPair
from metricsapi.server.tls.ca_bundle_controller import CABundleController
from metricsapi.server.tls.context import Named, ServingTLS
from metricsapi.server.tls.service_probe import ServiceProbe
from metricsapi.server.tls.serving_certificate import (
    CertificateFiles,
    SelfSigned,
    ServingNames,
    service_names,
)


def serving_names(settings: Settings) -> ServingNames:
    """Return the names in a certificate of our own: the Service's, this host's, a bound address."""
    own = settings.serving.bind_address
    addresses = () if own in ("", "0.0.0.0", "::") else (own,)
    return service_names(
        settings.service.name, settings.service.namespace, addresses, socket.gethostname()
    )


def default_certificate(settings: Settings, names: ServingNames) -> CertificateFiles | SelfSigned:
    """Return the certificate from the flags' files, or a self-signed one in --cert-dir."""
    serving = settings.serving
    if serving.cert_file and serving.private_key_file:
        return CertificateFiles(serving.cert_file, serving.private_key_file)
    return SelfSigned(serving.certificate_directory(os.environ), names)


def serving_tls(
    settings: Settings,
    default: CertificateFiles | SelfSigned,
    named: list[CertificateFiles],
) -> ServingTLS:
    """Read the certificates into a TLS context. Raises TLSError with the file and the fix."""
    return ServingTLS(
        default.read(),
        named=[
            Named(files.read(), flag.names)
            for files, flag in zip(named, settings.serving.named_certificates, strict=True)
        ],
        min_version=settings.serving.min_version,
        cipher_suites=settings.serving.cipher_suites,
        curves=settings.serving.curve_preferences,
    )


def ca_bundle_controller(
    settings: Settings,
    client: KubeClient,
    tls: ServingTLS,
    names: ServingNames,
    is_ready: Callable[[], bool],
    on_authorities: Callable[[Sequence[KeyPair], KeyPair], None],
) -> CABundleController | None:
    """Return what keeps the APIService's `caBundle`; None without --manage-ca-bundle."""
    if not settings.service.manage_ca_bundle:
        return None
    return CABundleController(
        client,
        tls,
        names,
        namespace=settings.service.namespace,
        service=settings.service.name,
        secret=settings.service.ca_secret_name,
        is_ready=is_ready,
        probe=ServiceProbe(settings.service.namespace, settings.service.name, os.environ),
        on_authorities=on_authorities,
    )
