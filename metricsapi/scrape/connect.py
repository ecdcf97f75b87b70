"""Opens connections to kubelets, and turns each failure into a ScrapeError with its cause."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from metricsapi.kube.addresses import host_port
from metricsapi.scrape.connection import Connection, Shared
from metricsapi.scrape.errors import Cause, ScrapeError, from_connect_error
from metricsapi.scrape.tls_stream import TLSStream


async def connect(
    host: str,
    port: int,
    *,
    shared: Shared,
    context: ssl.SSLContext | None,
    server_name: str,
    deadline: float,
) -> Connection:
    """Open a connection, with TLS when there is a context. `deadline` is in monotonic seconds.

    The certificate has to name `server_name`, a name or an IP address, where the context checks
    that. Raises ScrapeError.
    """
    where = host_port(host, port)
    connection: Connection | None = None
    addresses: list[str] = []
    try:
        tls = TLSStream(shared.tls, context, server_name) if context is not None else None
        connection = Connection(where, shared, tls)
        async with asyncio.timeout_at(deadline):
            addresses = await shared.names.addresses(host)
            await _attach(connection, addresses, port)
            await connection.handshake()
    except (OSError, ValueError, TypeError, OverflowError) as error:
        if connection is not None:
            connection.close()
        if isinstance(error, TimeoutError) and not addresses:
            message = f"the name {host[:253]!r} could not be looked up in time: no response of DNS"
            raise ScrapeError(Cause.TIMEOUT, message) from error
        raise from_connect_error(error, where) from error
    return connection


async def _attach(connection: Connection, addresses: list[str], port: int) -> None:
    """Connect to the first address that takes the connection."""
    loop = asyncio.get_running_loop()
    *others, last = addresses
    for address in others:
        with contextlib.suppress(OSError):
            await loop.create_connection(lambda: connection, address, port)
            return
    await loop.create_connection(lambda: connection, last, port)
