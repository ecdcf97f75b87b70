"""The HTTPS server: uvicorn on our sockets, inside an event loop that others share."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from metricsapi.config.limits import LimitSettings
from metricsapi.config.serving import ServingSettings
from metricsapi.server.http.acceptor import BACKLOG, Acceptor
from metricsapi.server.http.protocol import Protocol
from metricsapi.server.http.reception import SharedMemory
from metricsapi.server.http.refusal_log import RefusalLog
from metricsapi.server.tls.context import ServingTLS

# Bytes that the kernel keeps of what a client sends: requests are small. It bounds what TLS handles
# in one go, and libuv reads from a socket up to 32 times in a row if each read fills its buffer.
RECEIVE_BUFFER = 16 * 1024
GRACE = 30  # seconds that requests in flight may take when the server ends

log = logging.getLogger(__name__)


class Server:
    """Serves an ASGI app until `begin_shutdown`. It has no signal handlers: the caller has them."""

    def __init__(
        self,
        app: Any,
        *,
        tls: ServingTLS,
        serving: ServingSettings,
        limits: LimitSettings,
        leaving: asyncio.Event | None = None,
        refusals: RefusalLog | None = None,
    ) -> None:
        """Take where to listen; port 0 is any free one, see `port` once running.

        `leaving` is set when shutdown begins. `refusals` counts and logs what is refused before
        it reaches the app.
        """
        self._tls = tls
        self._serving = serving
        self.started = asyncio.Event()
        self.leaving = leaving or asyncio.Event()
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                app,
                loop="none",
                http=Protocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                headers=_headers(serving),
                timeout_graceful_shutdown=GRACE,
            ),
            tls,
            limits,
            self.started,
            self.leaving,
            refusals or RefusalLog(),
        )
        self._bound: socket.socket | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self.bind().getsockname()[1])

    @property
    def connections(self) -> int:
        """The number of open client connections."""
        return len(self._uvicorn.server_state.connections)

    def bind(self) -> socket.socket:
        """Bind the address, once. Raises OSError that names it."""
        if self._bound is None:
            self._bound = _listen(self._serving)
        return self._bound

    async def run(self) -> None:
        """Serve until a shutdown has begun and is over. Raises as `bind` does."""
        sockets = [self.bind()]
        async with asyncio.TaskGroup() as group:
            leaving = group.create_task(self._leave())
            await self._uvicorn.serve(sockets=sockets)
            leaving.cancel()

    def begin_shutdown(self) -> None:
        """Shut down: serve on for the shutdown delay, finish the requests in flight, close.

        `/readyz` fails from now on, since it looks at `leaving`.
        """
        self.leaving.set()

    async def _leave(self) -> None:
        await self.leaving.wait()
        await asyncio.sleep(self._serving.shutdown_delay)
        self._uvicorn.leave.set()


class _State(ServerState):
    """uvicorn's state with a `Date` header (RFC 9110, 6.6.1) that is made when it is used.

    uvicorn makes it ten times a second; a process that wakes up for that finds the processor's
    caches cold, which costs as much as serving a request.
    """

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self._dated: list[tuple[bytes, bytes]] = []

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        second = int(time.time())
        if second != self._second:
            self._second = second
            date = formatdate(second, usegmt=True).encode()
            self._dated = [(b"date", date), *self._headers]
        return self._dated

    @default_headers.setter
    def default_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._headers = headers
        self._second = 0


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers, and with our own acceptor."""

    def __init__(
        self,
        config: uvicorn.Config,
        tls: ServingTLS,
        limits: LimitSettings,
        listening: asyncio.Event,
        leaving: asyncio.Event,
        refusals: RefusalLog,
    ) -> None:
        super().__init__(config)
        self.server_state = _State()
        self._tls = tls
        self._limits = limits
        self._listening = listening
        self._leaving = leaving
        self._refusals = refusals
        self._memory = SharedMemory()
        self.leave = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.server_state.default_headers = self.config.encoded_headers
        acceptors = [
            Acceptor(sock, self._protocol, self._tls.context, self._limits, self._refusals)
            for sock in sockets or ()
        ]
        self.servers = acceptors  # type: ignore[assignment]  # by duck typing
        for acceptor in acceptors:
            acceptor.start()
        self.started = True
        self._listening.set()
        for sock in sockets or ():
            log.info("listening on %s port %s", *sock.getsockname()[:2])

    async def main_loop(self) -> None:
        """Wait for the end of serving, without uvicorn's check ten times a second."""
        await self.leave.wait()

    def _protocol(self) -> Protocol:
        return Protocol(
            self.config,
            self.server_state,
            self._limits,
            self._leaving,
            self._refusals,
            self._memory,
        )


def _headers(serving: ServingSettings) -> list[tuple[str, str]]:
    """Return the headers of every response."""
    directives = serving.strict_transport_security
    return [("strict-transport-security", "; ".join(directives))] if directives else []


def _listen(serving: ServingSettings) -> socket.socket:
    """Return a bound socket; an unspecified address means IPv4 and, where there is IPv6, IPv6."""
    host, port = serving.bind_address, serving.port
    every = host in ("", "0.0.0.0", "::")
    dual = every and socket.has_dualstack_ipv6()
    address = "::" if dual else host or "0.0.0.0"
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if serving.address_sharing:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if serving.port_sharing:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        bound.bind((address, port))
        if not serving.port_sharing:  # it would draw connections away from those that serve already
            bound.listen(BACKLOG)  # two that start at once must not both get as far as this
    except OSError as error:
        bound.close()
        raise OSError(
            error.errno, f"cannot listen on {host or address} port {port}: {error.strerror}"
        ) from error
    bound.setblocking(False)
    return bound
