"""Divides large reads into pieces, between which other connections are served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PIECE = 16 * 1024  # bytes that are parsed at once: 5 ms of work if they are tiny headers


class Pieces:
    """Passes what a connection reads to `take`, in pieces of at most `PIECE` bytes.

    Each piece after the first waits for the next iteration of the event loop. `pause` stops further
    reads before the second piece, and `resume` allows them after the last.
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
        """Pass on what was read, the first piece at once."""
        if self._rest:
            self._rest += data
        elif len(data) <= PIECE:
            self._take(data)
        else:
            self._rest = data
            self._next()

    def drop(self) -> None:
        """Discard what is not passed on yet."""
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
