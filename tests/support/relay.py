"""A TCP relay in front of a server: it breaks what passes, below TLS."""

import asyncio
import contextlib

from tests.support.serving_tasks import ServingTasks


class Relay:
    """Passes bytes between its own `host:port` and a server, in both directions.

    `server` is its (host, port); a subclass may choose it by connection. `damage(data)` may change
    what the server sends; while `stalled` nothing passes.
    """

    def __init__(self, server=None, *, listen="127.0.0.1", port=0):
        self.server = server
        self.host, self.port = listen, port
        self.damage = None
        self.refusing = False  # connections are accepted and closed at once
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers = set()
        self._tasks = ServingTasks(self._relay)
        self._listening = None

    async def __aenter__(self):
        self._listening = await asyncio.start_server(self._tasks, self.host, self.port, backlog=512)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.stalled = False
        self.cut()
        await self._tasks.end(self._listening)

    async def choose(self, _reader, _writer):
        """Return the (host, port) for a connection of a client; None closes it."""
        return None if self.refusing else self.server

    @property
    def stalled(self):
        return not self._flowing.is_set()

    @stalled.setter
    def stalled(self, stalled):
        (self._flowing.clear if stalled else self._flowing.set)()

    def cut(self):
        """Reset every connection, whatever it is in the middle of."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _relay(self, reader, writer):
        with contextlib.suppress(OSError, EOFError), contextlib.ExitStack() as stack:
            server = await self.choose(reader, writer)
            if server is None:
                return
            to_server = await asyncio.open_connection(*server)
            stack.callback(to_server[1].transport.abort)
            self._writers |= {writer, to_server[1]}
            stack.callback(self._writers.difference_update, {writer, to_server[1]})
            pumps = [
                asyncio.create_task(self._pump(reader, to_server[1], damaged=False)),
                asyncio.create_task(self._pump(to_server[0], writer, damaged=True)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader, writer, *, damaged):
        while data := await reader.read(65536):
            await self._flowing.wait()
            if damaged and self.damage is not None:
                data = self.damage(data)
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
