"""A TCP relay in front of a server: it breaks what passes, below TLS."""

import asyncio
import contextlib


class Relay:
    """Passes bytes between its own port and `host:port`, in both directions.

    `damage(data)` may change what the server sends; while `stalled` nothing passes.
    """

    def __init__(self, host, port, *, listen="127.0.0.1"):
        self.host, self.target = host, port
        self.listen = listen
        self.port = 0
        self.damage = None
        self.refusing = False  # connections are accepted and closed at once
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers = set()
        self._tasks = set()
        self._server = None

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._connected, self.listen, 0, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.stalled = False
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

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

    def _connected(self, reader, writer):
        task = asyncio.create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, reader, writer):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(writer.transport.abort)
            if self.refusing:
                return
            to_server = await asyncio.open_connection(self.host, self.target)
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
