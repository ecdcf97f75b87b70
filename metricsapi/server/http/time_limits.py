"""Limits the time in which a client sends a request, and receives a response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from metricsapi.config.limits import LimitSettings
from metricsapi.server.http.refusal import Receiving

_PROGRESS = 64 * 1024  # bytes that a client must take within `write_timeout`


class ReadTimeLimit:
    """Limits the time of each part of a request: its head, then its body."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, limits: LimitSettings, expire: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._expire = expire
        self._timer: asyncio.TimerHandle | None = None
        self._part = Receiving.NOTHING  # that the timer is for

    def follow(self, part: Receiving) -> None:
        """Note the part that is being received now."""
        if part is self._part and part is not Receiving.NOTHING:
            return
        self.cancel()
        self._part = part
        if part is not Receiving.NOTHING:
            limits = self._limits
            seconds = limits.header_timeout if part is Receiving.HEAD else limits.body_timeout
            self._timer = self._loop.call_later(seconds, self._expire)

    def cancel(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class WriteTimeLimit:
    """Ends a connection whose client takes less than `_PROGRESS` bytes in `write_timeout`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: LimitSettings,
        transport: asyncio.Transport,
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Note that the client has not taken what was written."""
        waiting = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(self._limits.write_timeout, self._check, waiting)

    def cancel(self) -> None:
        """Note that the client has taken it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self, before: int) -> None:
        if self._transport.get_write_buffer_size() > before - _PROGRESS:
            self._transport.abort()
        else:
            self.start()
