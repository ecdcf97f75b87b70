"""Closes a client's connection once the client has read what was sent, within a bounded time."""

from __future__ import annotations

import asyncio

from metricsapi.config.limits import LimitSettings
from metricsapi.server.http.write_coalescing import CoalescingTransport

_SMALL = 16 * 1024  # bytes of a response that surely fit into the socket's buffer
_RECENT = 1.0  # seconds after the last write, in which the client may still be reading
_LINGER = 0.4  # seconds in which a refused client can read why, before the connection is closed


class ClientTransport(CoalescingTransport):
    """A client's connection, which is closed as soon as the client has read what was sent.

    TLS ends with a close_notify alert of each side. If the client's does not come, the connection
    is aborted after `close_timeout`; while the client may still be reading a large response, after
    `write_timeout`, since an abort discards what it has not read.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, limits: LimitSettings
    ) -> None:
        super().__init__(transport, loop)
        self._limits = limits
        self._written = 0  # bytes since the newest request began
        self._written_at = loop.time()
        self._abort: asyncio.TimerHandle | None = None
        self._close: asyncio.TimerHandle | None = None

    def request_begins(self) -> None:
        """Note a new request: the client has read the responses before it."""
        self._written = 0

    def write(self, data: bytes) -> None:
        self._written += len(data)
        self._written_at = self._loop.time()
        super().write(data)

    def close(self) -> None:
        super().close()
        self._abort_within(self._timeout())

    def close_soon(self) -> None:
        """Close in less than a second, whatever the client does.

        Closing now would reset the connection if more is on its way, and the client could lose
        the response.
        """
        self._abort_within(_LINGER + self._limits.close_timeout)
        self._close = self._loop.call_later(_LINGER, self.close)

    def lost(self) -> None:
        """Note that the connection is closed: there is nothing to close or abort."""
        for timer in (self._close, self._abort):
            if timer is not None:
                timer.cancel()

    def _abort_within(self, seconds: float) -> None:
        """Abort the connection after so many seconds, unless an earlier abort is planned."""
        if self._abort is not None:
            if self._abort.when() <= self._loop.time() + seconds:
                return
            self._abort.cancel()
        self._abort = self._loop.call_later(seconds, self._transport.abort)

    def _timeout(self) -> float:
        recent = self._loop.time() - self._written_at < _RECENT
        large = self._written > _SMALL
        return self._limits.write_timeout if large and recent else self._limits.close_timeout
