"""Probes our Service with new connections: whose certificates do its callers get?

While this server replaces another, both may be behind the Service. A `caBundle` that verifies only
ours makes the API server refuse the other. So it is written only after several connections in a row
have met a server whose certificate our authorities signed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace

from metricsapi.kube.tls import verifying_context

# In a row. A Service that sends every second connection to another server is taken for ours once in
# a million times, one that sends every fifth once in ninety times.
CONNECTIONS = 20
INTERVAL = 0.1  # seconds between two connections
TIMEOUT = 5.0  # seconds for each


@dataclass(frozen=True)
class ProbeFailure:
    """Why a probe ended early; `other_server` is normal while this server replaces another."""

    text: str
    other_server: bool


class ServiceProbe:
    """Connects to a Service by the address in the environment, or by its name.

    The kubelet tells a pod the addresses of the Services in its namespace, as
    METRICS_SERVER_SERVICE_HOST and METRICS_SERVER_SERVICE_PORT.
    """

    def __init__(
        self,
        namespace: str,
        service: str,
        environ: Mapping[str, str],
        *,
        connections: int = CONNECTIONS,
        interval: float = INTERVAL,
        timeout: float = TIMEOUT,
    ) -> None:
        self._name = f"{service}.{namespace}.svc"
        prefix = service.upper().replace("-", "_")
        self._host = environ.get(f"{prefix}_SERVICE_HOST", "")
        self._port = environ.get(f"{prefix}_SERVICE_PORT", "")
        self._connections = connections
        self._interval = interval
        self._timeout = timeout

    async def run(self, authorities: str, port: int) -> ProbeFailure | None:
        """Connect until a connection does not meet a certificate of these authorities (PEM).

        Returns that failure, or None when there is none. `port` is the Service's, for connections
        by its name.
        """
        context = verifying_context(authorities)
        for number in range(1, self._connections + 1):
            failure = await self._attempt(context, port)
            if failure is not None:
                text = f"connection {number} of {self._connections} to the Service {failure.text}"
                return replace(failure, text=text)
            await asyncio.sleep(self._interval)
        return None

    async def _attempt(self, context: ssl.SSLContext, port: int) -> ProbeFailure | None:
        """Make one connection; the failure is that of the first address."""
        first = None
        for host, number in self._addresses(port):
            try:
                async with asyncio.timeout(self._timeout):
                    _, writer = await asyncio.open_connection(
                        host, number, ssl=context, server_hostname=self._name
                    )
                writer.close()
                with contextlib.suppress(OSError):
                    async with asyncio.timeout(self._timeout):
                        await writer.wait_closed()
            except ssl.SSLCertVerificationError as error:
                return ProbeFailure(
                    f"meets another server: {error.verify_message}", other_server=True
                )
            except (OSError, ValueError, OverflowError) as error:  # TimeoutError is an OSError
                reason = str(error) or type(error).__name__
                first = first or ProbeFailure(
                    f"at {host}:{number} failed: {reason}", other_server=False
                )
            else:
                return None
        return first

    def _addresses(self, port: int) -> list[tuple[str, int]]:
        by_name = [(self._name, port)]
        known = self._host and self._port.isascii() and self._port.isdigit()
        return [(self._host, int(self._port)), *by_name] if known else by_name
