"""Explains why a kubelet's certificate was refused: fetches it again, without verification."""

from __future__ import annotations

import contextlib
import re
import time

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from metricsapi.kube.addresses import host_port
from metricsapi.kube.pem import UNREADABLE, load_certificate
from metricsapi.kube.tls import unverified_context
from metricsapi.scrape.connect import connect
from metricsapi.scrape.connection import Shared
from metricsapi.scrape.errors import Cause, ScrapeError

# A kubelet without a signed certificate makes itself a CA named NODE-ca@SECONDS.
_KUBELETS_OWN_CA = re.compile(r"-ca@\d+$")
_KEY_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign",
)  # fmt: skip
_EXTENDED = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "any",
}


async def explain(
    error: ScrapeError, node: str, host: str, port: int, deadline: float
) -> ScrapeError:
    """Return the error of a refused certificate with the details of the certificate in its message.

    The kubelet is asked for its certificate once more, by a handshake without verification
    over which nothing is sent; OpenSSL does not give the certificate that it has refused.
    """
    where = host_port(host, port)
    certificate = None
    with contextlib.suppress(ScrapeError, ValueError):
        certificate = await _fetch(host, port, deadline)
    if certificate is None:
        return error
    with contextlib.suppress(*UNREADABLE):  # extensions and keys are parsed when they are used
        return _with_details(error, certificate, node, where)
    return error


def _with_details(
    error: ScrapeError, certificate: x509.Certificate, node: str, where: str
) -> ScrapeError:
    issuer, subject = common_name(certificate.issuer), common_name(certificate.subject)
    if error.cause is Cause.CERTIFICATE_LACKS_ADDRESS:
        return ScrapeError(
            error.cause,
            f"the certificate of {where} is for {_names(certificate)}: it names neither this "
            f"address nor the node {node}",
        )
    if error.cause is Cause.CERTIFICATE_EXPIRED:
        return ScrapeError(error.cause, _validity(certificate, where, time.time()))
    if error.cause is Cause.CERTIFICATE_UNSUITABLE:
        return ScrapeError(error.cause, f"{error} ({_properties(certificate)})")
    if made_by_kubelet(certificate):
        return ScrapeError(
            Cause.CERTIFICATE_SELF_SIGNED,
            f"the certificate of {where} ({subject!r} by {issuer!r}) is self-signed by the "
            "kubelet: its serving CSR was never approved",
        )
    return ScrapeError(
        Cause.CERTIFICATE_UNKNOWN_CA,
        f"the certificate of {where} is signed by {issuer!r}, a CA that is not trusted here",
    )


def _validity(certificate: x509.Certificate, where: str, now: float) -> str:
    """Return what is not valid at `now` (epoch seconds): a certificate, or a CA above it."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    dates = f"is valid from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    if begin.timestamp() <= now <= end.timestamp():
        issuer = common_name(certificate.issuer)
        return f"the certificate of {where} {dates}, but not its issuer {issuer!r} or a CA above it"
    return f"the certificate of {where} {dates}, not now"


async def _fetch(host: str, port: int, deadline: float) -> x509.Certificate | None:
    context = unverified_context()
    connection = await connect(
        host, port, shared=Shared(0), context=context, server_name=host, deadline=deadline
    )
    der = connection.peer_certificate()
    connection.close()
    return load_certificate(der) if der else None


def made_by_kubelet(certificate: x509.Certificate) -> bool:
    """Return whether a kubelet signed its own certificate, alone or with a CA that it made."""
    self_signed = certificate.issuer == certificate.subject
    return self_signed or _KUBELETS_OWN_CA.search(common_name(certificate.issuer)) is not None


def common_name(name: x509.Name) -> str:
    """Return the common name of a subject or issuer; all of it where there is none."""
    names = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else name.rfc4514_string()


def _names(certificate: x509.Certificate) -> str:
    """Return the names that a certificate is valid for, as `DNS:a, IP:b`."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        name = common_name(certificate.subject)
        return f"no address or name at all (only the common name {name!r})"
    names = [f"DNS:{name}" for name in extension.value.get_values_for_type(x509.DNSName)]
    names += [f"IP:{ip}" for ip in extension.value.get_values_for_type(x509.IPAddress)]
    return ", ".join(names[:20]) or "no address or name"


def _properties(certificate: x509.Certificate) -> str:
    """Return the properties that may make a certificate with a good issuer and dates unsuitable."""
    key, extensions = certificate.public_key(), certificate.extensions
    kind = type(key).__name__.lstrip("_").removesuffix("PublicKey")
    size = getattr(key, "key_size", "")
    hashed = certificate.signature_hash_algorithm
    parts = [f"key {kind} {size}".strip(), f"signed with {hashed.name if hashed else kind}"]
    with contextlib.suppress(x509.ExtensionNotFound):
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        on = [name for name in _KEY_USAGES if getattr(usage, name)]
        parts.append(f"key usage {', '.join(on) or 'none'}")
    with contextlib.suppress(x509.ExtensionNotFound):
        uses = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = [_EXTENDED.get(use, use.dotted_string) for use in uses]
        parts.append(f"extended key usage {', '.join(names) or 'none'}")
    unknown = [
        extension.oid.dotted_string
        for extension in extensions
        if extension.critical and isinstance(extension.value, x509.UnrecognizedExtension)
    ]
    if unknown:
        parts.append(f"critical extension {', '.join(unknown)}")
    return "; ".join(parts)
