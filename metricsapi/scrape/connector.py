"""Opens connections to kubelets, plain or with TLS."""

from __future__ import annotations

import asyncio
import ssl

from metricsapi.scrape.connection import Buffers, Connection, SecureConnection
from metricsapi.scrape.errors import Cause, ScrapeError, from_connect_error


class Connector(Buffers):
    """Opens connections, which share its buffers."""

    async def connect(
        self,
        host: str,
        port: int,
        *,
        context: ssl.SSLContext | None,
        server_name: str,
        deadline: float,
    ) -> Connection:
        """Open a connection, with TLS when there is a context.

        The certificate has to name `server_name`, a name or an IP address, where the context
        checks that. Raises ScrapeError.
        """
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        connection = (
            SecureConnection(where, self, context, server_name)
            if context
            else Connection(where, self)
        )
        try:
            async with asyncio.timeout_at(deadline):
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: connection, host, port)
                if isinstance(connection, SecureConnection):
                    await connection.handshake()
        except TimeoutError as error:
            connection.close()
            raise ScrapeError(Cause.TIMEOUT, f"no connection to {where} in time") from error
        except OSError as error:
            connection.close()
            raise from_connect_error(error, where) from error
        return connection
