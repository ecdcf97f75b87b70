"""An ASGI application on a TLS port that can be closed at once, with all its connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from functools import partial
from typing import Any

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

_GRACE = 0.1  # seconds


class Connection(HttpToolsProtocol):
    """Tells the application the client's certificate and how to abort, which uvicorn does not."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        connection_state = {"peer": connection.getpeercert(True), "abort": transport.abort}
        self.app_state = {**self.app_state, **connection_state}


class Listener:
    """Serves on one address; `start` again after `stop` takes the same port."""

    def __init__(self, app: Any, context: ssl.SSLContext, host: str) -> None:
        self._config = uvicorn.Config(
            _cancellable(app),
            http=Connection,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # nobody may say that they are someone else
            timeout_keep_alive=120,
        )
        self._context = context
        self._host = host
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Listen; port 0 is any free one. Raises OSError when the port is taken."""
        # With its protocol named, asyncio sets TCP_NODELAY on the connections.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self._host, port))
        except OSError:
            listening.close()
            raise
        self.port = int(listening.getsockname()[1])
        if not self._config.loaded:
            self._config.load()
        self._state = ServerState()
        protocol = partial(Connection, config=self._config, server_state=self._state, app_state={})
        self._server = await asyncio.get_running_loop().create_server(
            protocol, sock=listening, ssl=self._context, backlog=1024
        )

    async def stop(self) -> None:
        """Close the port and reset every connection, whatever it is doing."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self.abort()
        tasks = list(self._state.tasks)
        if tasks:  # most notice that nobody listens any more
            _, late = await asyncio.wait(tasks, timeout=_GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def abort(self) -> None:
        """Reset every connection."""
        for connection in list(self._state.connections):
            connection.transport.abort()


def _cancellable(app: ASGIApp) -> ASGIApp:
    """Wrap an app so that a request may be cancelled, which uvicorn would log as an error."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(asyncio.CancelledError, ClientDisconnect):
            await app(scope, receive, send)

    return wrapped
