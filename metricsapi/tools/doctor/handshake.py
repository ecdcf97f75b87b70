"""Checks how a node is reached: its address, connection and certificate."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.addresses import host_port
from metricsapi.kube.pem import UNREADABLE
from metricsapi.kube.tls import unverified_context
from metricsapi.scrape.endpoints import RESOURCE_METRICS, SHORT_SUMMARY
from metricsapi.scrape.errors import (
    Cause,
    ScrapeError,
    certificate_cause,
    from_connect_error,
)
from metricsapi.scrape.targets import Target
from metricsapi.telemetry.troubleshooting import remedy
from metricsapi.tools.doctor.certificate import EXPIRES_SOON, Certificate, read_certificate
from metricsapi.tools.doctor.result import Findings, Status


class Stop(Exception):
    """Raised once the finding is added, when further checks of the node are pointless."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How nodes are read: as the server would, with its flags."""

    context: ssl.SSLContext | None  # None: HTTP
    token: Callable[[], str | None]
    timeout: float
    paths: tuple[str, ...] = (SHORT_SUMMARY, RESOURCE_METRICS)  # in the order of tries
    verify: bool = True
    max_bytes: int = KubeletSettings.max_response_bytes
    probe: str = ""  # a service account's token, to see whether kubelets take tokens

    def paths_of(self, target: Target) -> tuple[str, ...]:
        """Return the paths that the server would read of a node, in this order."""
        return (target.path,) if target.path is not None else self.paths

    @property
    def scheme(self) -> str:
        return "https" if self.context else "http"


async def connect(target: Target, reader: Reader, findings: Findings) -> str:
    """Return the first host that accepts a connection."""
    if not target.hosts:
        findings.because("address", Cause.NO_ADDRESS, "no address of a wanted type")
        raise Stop
    findings.ok("address", ", ".join(target.hosts))
    refusals: list[ScrapeError] = []
    for host in target.hosts:
        try:
            await _try_address(host, target.port, reader.timeout / len(target.hosts))
        except ScrapeError as error:
            refusals.append(error)
            continue
        where = f"{host_port(host, target.port)} accepts connections"
        if refusals:
            text = f"{where}, but {'; '.join(map(str, refusals))}"
            findings.because("tcp", refusals[0].cause, text, Status.WARN)
        else:
            findings.ok("tcp", where)
        return host
    findings.because("tcp", refusals[0].cause, "; ".join(map(str, refusals)))
    raise Stop


async def _try_address(host: str, port: int, timeout: float) -> None:
    """Open and close a connection. Raises ScrapeError.

    The name is looked up first: a name server that does not respond is not a firewall.
    """
    where, known = host_port(host, port), False
    try:
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            known = True
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, UnicodeError) as error:  # the codec of international names, too
        if isinstance(error, TimeoutError) and not known:
            text = f"{where}: the name was not resolved within {timeout:.1f} s"
            raise ScrapeError(Cause.NAME_NOT_FOUND, text) from error
        raise from_connect_error(error, where) from error
    writer.close()


async def handshake(target: Target, host: str, reader: Reader, findings: Findings) -> str:
    """Read the certificate, then verify it; return the name that it is valid for."""
    if reader.context is None:
        findings.warn("tls", "not used (--deprecated-kubelet-completely-insecure)", "Use TLS.")
        return host
    version, certificate = await _presented(target, host, reader, findings)
    evidence = f"{version}, {certificate.text}"
    if not reader.verify:
        findings.warn(
            "tls", f"not verified (--kubelet-insecure-tls); {evidence}", "Verify kubelets."
        )
        return host
    refusals: list[ssl.SSLCertVerificationError] = []
    for name in (host, target.node):
        try:
            await _tls(host, target.port, reader.context, name, reader.timeout)
        except ssl.SSLCertVerificationError as error:
            refusals.append(error)
        except (TimeoutError, OSError) as error:
            findings.because("tls", Cause.TLS, f"{error_text(error)}; {evidence}")
            raise Stop from error
        else:
            _verified(certificate, evidence, name, host, findings)
            return name
    cause = _certificate_fault(refusals[0], certificate)
    text = f"{remedy(cause).title} ({refusals[0].verify_message}): {evidence}"
    findings.because("tls", cause, text)
    raise Stop


async def _presented(
    target: Target, host: str, reader: Reader, findings: Findings
) -> tuple[str, Certificate]:
    """Return the TLS version and the certificate of a handshake without verification."""
    try:
        version, der = await _tls(host, target.port, unverified_context(), host, reader.timeout)
    except (TimeoutError, OSError) as error:
        findings.because("tls", Cause.TLS, f"handshake failed: {error_text(error)}")
        raise Stop from error
    try:
        return version, read_certificate(der)
    except UNREADABLE as error:
        text = f"{version}, a certificate that cannot be read: {error}"
        findings.because("tls", Cause.CERTIFICATE_UNSUITABLE, text)
        raise Stop from error


def _verified(
    certificate: Certificate, evidence: str, name: str, host: str, findings: Findings
) -> None:
    by = f"verified for {name}" + ("" if name == host else f", the node's name; it lacks {host}")
    days = certificate.days_left()
    if days < EXPIRES_SOON:
        text = f"expires in {days:.1f} days; {by}; {evidence}"
        findings.warn("tls", text, remedy(Cause.CERTIFICATE_EXPIRED).fix)
    else:
        findings.ok("tls", f"{by}; {evidence}")


def _certificate_fault(fault: ssl.SSLCertVerificationError, certificate: Certificate) -> Cause:
    """Name the cause; OpenSSL reports the chain before the times, and the times before names."""
    if not certificate.not_before <= datetime.now(UTC) <= certificate.not_after:
        return Cause.CERTIFICATE_EXPIRED
    cause = certificate_cause(fault.verify_code)
    if cause not in (Cause.CERTIFICATE_SELF_SIGNED, Cause.CERTIFICATE_UNKNOWN_CA):
        return cause
    own = certificate.made_by_kubelet
    return Cause.CERTIFICATE_SELF_SIGNED if own else Cause.CERTIFICATE_UNKNOWN_CA


async def _tls(
    host: str, port: int, context: ssl.SSLContext, name: str, timeout: float
) -> tuple[str, bytes]:
    """Make a TLS handshake; return the TLS version and the peer's certificate (DER)."""
    _, writer = await asyncio.wait_for(
        asyncio.open_connection(host, port, ssl=context, server_hostname=name), timeout
    )
    try:
        peer: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return peer.version() or "TLS", peer.getpeercert(True) or b""
    finally:
        writer.transport.abort()


def error_text(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
