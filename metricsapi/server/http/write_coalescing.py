"""A transport that sends what one turn of the event loop writes in one go."""

from __future__ import annotations

import asyncio
from typing import Any

# Bytes. A TLS connection keeps room for the most that it was ever given at once, so more than one
# piece of a large answer is not joined.
JOINED = 160 * 1024


class Together:
    """Wraps a connection's transport; all but writing is left to that one.

    uvicorn writes an answer's head and its body apart. Each write to the transport is a system
    call that wakes the reader, the first one for nothing.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send `data` when the loop turns, with what else is written until then.

        More than is joined goes at once: only then does the transport tell a writer to pause.
        """
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)
        self._size += len(data)
        if self._size > JOINED:
            self._flush()

    def close(self) -> None:
        """Close once what has been written is sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        size, self._size = self._size, 0
        if size <= JOINED:
            if waiting:
                self._transport.writelines(waiting)
            return
        for data in waiting:
            self._transport.write(data)
