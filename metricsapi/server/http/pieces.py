"""Large reads, handed on in pieces between which other connections are served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PIECE = 16 * 1024  # bytes that are parsed at once: 5 ms of work if they are tiny headers


class Pieces:
    """Hands what a connection reads on to `take`, in pieces of at most `PIECE` bytes.

    From the second piece on each is in an iteration of the event loop of its own. Until the last
    one, `pause` has stopped the reading of more; then `resume` lets it go on.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[bytes], None],
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._take = take
        self._pause = pause
        self._resume = resume
        self._rest = b""

    def add(self, data: bytes) -> None:
        """Take what was read."""
        if self._rest:
            self._rest += data
        elif len(data) <= PIECE:
            self._take(data)
        else:
            self._rest = data
            self._next()

    def drop(self) -> None:
        """Forget what is not handed on yet."""
        self._rest = b""

    def _next(self) -> None:
        if not self._rest:  # it was dropped
            return
        piece, self._rest = self._rest[:PIECE], self._rest[PIECE:]
        self._take(piece)
        if self._rest:
            self._pause()
            self._loop.call_soon(self._next)
        else:
            self._resume()
