"""Accepts connections, and bounds the TLS handshakes that are under way.

A connection whose client sends nothing needs 50 KiB, and the limit of connections counts only those
whose handshake is done. With asyncio's own server a client could open as many as there are file
descriptors.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial

from metricsapi.config.limits import LimitSettings
from metricsapi.kube.bounded_tls import EmptyRecordsError
from metricsapi.server.http.refusal import EMPTY_RECORDS, TOO_MANY_HANDSHAKES, Refused
from metricsapi.server.http.refusal_log import RefusalLog

BACKLOG = 2048  # connections that wait to be accepted; uvicorn's default
HANDSHAKES = 512  # that may be under way
_AT_ONCE = 64  # connections that are accepted before other tasks run
_PAUSE = 1.0  # seconds without accepting after a failure, which is a lack of files or memory

log = logging.getLogger(__name__)


class Acceptor:
    """Accepts on one socket, as much like an `asyncio.Server` as uvicorn needs it."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        limits: LimitSettings,
        refusals: RefusalLog,
        *,
        handshakes: int = HANDSHAKES,
    ) -> None:
        """Take a bound socket that does not block, and what makes the protocol of a connection.

        Beyond so many `handshakes` under way, the oldest is ended.
        """
        self._socket = listening
        self._protocol = protocol
        self._context = context
        self._limits = limits
        self._refusals = refusals
        self._most = handshakes
        self._loop = asyncio.get_running_loop()
        self._handshakes: dict[asyncio.Task[None], tuple[str, int]] = {}  # the oldest one first
        self._resume: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept from now on."""
        self._socket.listen(BACKLOG)
        self._loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """Accept no more, and end the handshakes that are under way."""
        self._loop.remove_reader(self._socket)
        if self._resume is not None:
            self._resume.cancel()
        for task in self._handshakes:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until nothing is under way any more."""
        await asyncio.gather(*self._handshakes, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("cannot accept connections", extra={"data": {"error": str(error)}})
                self._loop.remove_reader(self._socket)
                self._resume = self._loop.call_later(_PAUSE, self.start)
                return
            if len(self._handshakes) >= self._most:
                self._end_oldest()
            task = self._loop.create_task(self._handshake(connection))
            self._handshakes[task] = address[:2]
            task.add_done_callback(partial(self._done, connection))

    def _end_oldest(self) -> None:
        oldest = next(iter(self._handshakes))
        self._refusals.note(Refused(TOO_MANY_HANDSHAKES), self._handshakes.pop(oldest))
        oldest.cancel()

    async def _handshake(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await self._loop.connect_accepted_socket(
            self._protocol,
            connection,
            ssl=self._context,
            ssl_handshake_timeout=self._limits.header_timeout,
            # Only a bound: `ClientTransport` ends connections.
            ssl_shutdown_timeout=self._limits.write_timeout,
        )

    def _done(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        client = self._handshakes.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            connection.close()
        if isinstance(error, EmptyRecordsError):
            self._refusals.note(Refused(EMPTY_RECORDS), client)
        elif error is not None and not isinstance(error, OSError):
            log.error("handshake failed", exc_info=error)
        # Any OSError is the client's: no TLS, or none that we speak, or too slow.
