"""The end of a connection: what was sent arrives, and nobody keeps the connection open for long."""

from __future__ import annotations

import asyncio

from metricsapi.config.limits import LimitSettings
from metricsapi.server.http.write_coalescing import CoalescingTransport

_SMALL = 16 * 1024  # bytes of an answer that surely fit into the socket's buffer
_RECENT = 1.0  # seconds after the last write, in which the client may still be reading


class ClientTransport(CoalescingTransport):
    """A client's connection, which ends as soon as the client has taken what was sent.

    TLS ends with a message of each side. A client that does not answer ours is cut off after
    `close_timeout`; but while it may still be taking a large answer, only after `write_timeout`,
    since what it has not taken by then is lost.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, limits: LimitSettings
    ) -> None:
        super().__init__(transport, loop)
        self._limits = limits
        self._written = 0  # bytes since the newest request began
        self._written_at = loop.time()
        self._abort: asyncio.TimerHandle | None = None

    def request_begins(self) -> None:
        """Note that the client has sent a request, so it has taken the answers before."""
        self._written = 0

    def write(self, data: bytes) -> None:
        self._written += len(data)
        self._written_at = self._loop.time()
        super().write(data)

    def close(self) -> None:
        super().close()
        self.close_within(self._patience())

    def close_within(self, seconds: float) -> None:
        """Be gone after some time, whatever the client does."""
        if self._abort is not None:
            if self._abort.when() <= self._loop.time() + seconds:
                return
            self._abort.cancel()
        self._abort = self._loop.call_later(seconds, self._transport.abort)

    def lost(self) -> None:
        """Note that the connection is gone."""
        if self._abort is not None:
            self._abort.cancel()

    def _patience(self) -> float:
        recent = self._loop.time() - self._written_at < _RECENT
        large = self._written > _SMALL
        return self._limits.write_timeout if large and recent else self._limits.close_timeout
