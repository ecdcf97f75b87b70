"""The TLS of reading kubelets: one context that all connections share."""

from __future__ import annotations

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.credentials import Credentials
from metricsapi.kube.identity import follow_pair
from metricsapi.kube.tls import ClientTLS, follow_authorities


def kubelet_tls(settings: KubeletSettings, credentials: Credentials) -> ClientTLS | None:
    """Return the client context for kubelets; None where they are read over plain HTTP.

    Flags name the authorities and the client certificate, else those of the credentials for the
    API server are used, as in metrics-server. Raises FileError for a file that cannot be used,
    OSError or ValueError for what cannot be put into a context.
    """
    if settings.plain_http:
        return None
    authorities, certificate = credentials.tls.authorities, credentials.identity.certificate
    if settings.certificate_authority:
        authorities = follow_authorities(settings.certificate_authority)
    if settings.client_certificate and settings.client_key:
        certificate = follow_pair(settings.client_certificate, settings.client_key)
    # `tls_stream` bounds the records, at less cost.
    return ClientTLS(authorities, certificate, insecure=settings.insecure_tls, bounded=False)
