"""A transport that sends what is written in one iteration of the event loop together."""

from __future__ import annotations

import asyncio
from typing import Any

# Bytes. A TLS connection keeps a buffer as large as the largest write, so pieces of a large answer
# are not joined.
JOINED = 160 * 1024


class CoalescingTransport:
    """Wraps a connection's transport, and passes on everything but writes.

    uvicorn writes a response's head and its body apart. Each write to the transport is a system
    call that wakes the reader, the first one for nothing.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pending: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send `data` at the loop's next iteration, with what else is written until then.

        More than `JOINED` is sent at once: only then does the transport pause a writer.
        """
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(data)
        self._size += len(data)
        if self._size > JOINED:
            self._flush()

    def close(self) -> None:
        """Close once what has been written is sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        size, self._size = self._size, 0
        if size <= JOINED:
            if pending:
                self._transport.writelines(pending)
            return
        for data in pending:
            self._transport.write(data)
