"""Certificates for tests: the sandbox issues them; here are clients that present them."""

import ssl

from metricsapi.tools.sandbox.pki import (
    CLIENT,
    DAY,
    SERVER,
    Authority,
    Certificate,
    load_pair,
    self_signed,
    server_context,
)

__all__ = [
    "CLIENT",
    "DAY",
    "SERVER",
    "Authority",
    "Certificate",
    "client_context",
    "load_pair",
    "self_signed",
    "server_context",
]


def client_context(certificate=None, *, trusts=None, version=None):
    """Give a client's TLS context; without `trusts`, PEM text, it accepts any server."""
    if trusts is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's authorities
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context = ssl.create_default_context(cadata=trusts)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if certificate is not None:
        load_pair(context, certificate)
    return context
