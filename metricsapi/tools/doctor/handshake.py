"""The first half of a node's examination: address, connection, certificate."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from metricsapi.scrape.errors import Cause, certificate_cause
from metricsapi.scrape.targets import Target
from metricsapi.telemetry.troubleshooting import remedy
from metricsapi.tools.doctor.certificate import Certificate, read_certificate
from metricsapi.tools.doctor.result import Findings

SUMMARY = "/stats/summary?only_cpu_and_memory=true"
RESOURCE = "/metrics/resource"
EXPIRES_SOON = 14.0  # days


class Stop(Exception):
    """The checks that follow make no sense any more; the finding is noted."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How nodes are read: as the server would, by its flags."""

    context: ssl.SSLContext | None  # None: HTTP
    token: Callable[[], str | None]
    timeout: float
    paths: tuple[str, ...] = (SUMMARY, RESOURCE)  # in the order in which they are tried
    verify: bool = True

    @property
    def scheme(self) -> str:
        return "https" if self.context else "http"


async def connect(target: Target, reader: Reader, findings: Findings) -> str:
    """Return the first host that accepts a connection."""
    if not target.hosts:
        findings.fail("address", "no address of a wanted type", remedy("no_address").fix)
        raise Stop
    findings.ok("address", ", ".join(target.hosts))
    refusals: list[str] = []
    fixes: dict[str, None] = {}
    for host in target.hosts:
        cause, said = await _knock(host, target.port, reader.timeout / len(target.hosts))
        if not cause:
            where = f"{host}:{target.port} accepts connections"
            if refusals:
                findings.warn("tcp", f"{where}, but {'; '.join(refusals)}", " ".join(fixes))
            else:
                findings.ok("tcp", where)
            return host
        fixes[remedy(cause).fix] = None
        refusals.append(f"{host}:{target.port}: {said}")
    findings.fail("tcp", "; ".join(refusals), " ".join(fixes))
    raise Stop


async def _knock(host: str, port: int, timeout: float) -> tuple[str, str]:
    """Open and close a connection; return cause and text, both empty if it could be made.

    The name is looked up first: one that a name server leaves unanswered is no firewall's doing.
    """
    step, loop = "name_not_found", asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            step = "timeout"
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        what = "no answer" if step == "timeout" else "the name was not resolved"
        return step, f"{what} within {timeout:.1f} s"
    except socket.gaierror as error:
        return "name_not_found", error.strerror or str(error)
    except ConnectionRefusedError:
        return "refused", "connection refused"
    except OSError as error:
        return "unreachable", error.strerror or str(error)
    writer.close()
    return "", ""


async def handshake(target: Target, host: str, reader: Reader, findings: Findings) -> str:
    """Look at the certificate, then verify it; return the name that it verifies for."""
    if reader.context is None:
        findings.warn("tls", "not used (--deprecated-kubelet-completely-insecure)", "Use TLS.")
        return host
    try:
        version, der = await _tls(host, target.port, _seeing(), host, reader.timeout)
    except (TimeoutError, OSError) as error:
        findings.fail("tls", f"handshake failed: {words(error)}", remedy("tls").fix)
        raise Stop from error
    certificate = read_certificate(der)
    evidence = f"{version}, {certificate.text}"
    if not reader.verify:
        findings.warn(
            "tls", f"not verified (--kubelet-insecure-tls); {evidence}", "Verify kubelets."
        )
        return host
    fault: ssl.SSLCertVerificationError | None = None
    for name in (host, target.node):
        try:
            await _tls(host, target.port, reader.context, name, reader.timeout)
        except ssl.SSLCertVerificationError as error:
            fault = fault or error
        except (TimeoutError, OSError) as error:
            findings.fail("tls", f"{words(error)}; {evidence}", remedy("tls").fix)
            raise Stop from error
        else:
            _verified(certificate, evidence, name, host, findings)
            return name
    cause = _certificate_fault(fault, certificate)
    said = fault.verify_message if fault else ""
    findings.fail("tls", f"{remedy(cause).title} ({said}): {evidence}", remedy(cause).fix)
    raise Stop


def _verified(
    certificate: Certificate, evidence: str, name: str, host: str, findings: Findings
) -> None:
    by = f"verified for {name}" + ("" if name == host else f", the node's name; it lacks {host}")
    left = certificate.days_left()
    if left < EXPIRES_SOON:
        findings.warn(
            "tls",
            f"expires in {left:.1f} days; {by}; {evidence}",
            remedy("certificate_expired").fix,
        )
    else:
        findings.ok("tls", f"{by}; {evidence}")


def _certificate_fault(fault: ssl.SSLCertVerificationError | None, certificate: Certificate) -> str:
    """Name the cause; OpenSSL reports the chain before the times, and the times before names."""
    code = fault.verify_code if fault else 0
    now = datetime.now(UTC)
    cause = certificate_cause(code)
    if not certificate.not_before <= now <= certificate.not_after:
        return "certificate_expired"
    if cause not in (Cause.CERTIFICATE_SELF_SIGNED, Cause.CERTIFICATE_UNKNOWN_CA):
        return str(cause)
    return "certificate_self_signed" if certificate.made_by_kubelet else "certificate_unknown_ca"


async def _tls(
    host: str, port: int, context: ssl.SSLContext, name: str, timeout: float
) -> tuple[str, bytes]:
    """Shake hands; return the TLS version and the peer's certificate."""
    _, writer = await asyncio.wait_for(
        asyncio.open_connection(host, port, ssl=context, server_hostname=name), timeout
    )
    try:
        peer: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return peer.version() or "TLS", peer.getpeercert(True) or b""
    finally:
        writer.transport.abort()


def _seeing() -> ssl.SSLContext:
    """Return a context that takes any certificate, to look at it; nothing is sent over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
