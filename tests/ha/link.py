"""A TCP link that can be cut: then packets are lost without an error on either side."""

import asyncio
import contextlib


class Link:
    """Forwards connections from one address to another until it is cut."""

    def __init__(self, host, port, target):
        self._listen = (host, port)
        self._target = target  # (host, port)
        self._open = asyncio.Event()
        self._open.set()
        self._server = None

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, *self._listen)
        return self

    async def __aexit__(self, *_):
        self._server.close()

    @property
    def port(self):
        return self._server.sockets[0].getsockname()[1]

    def cut(self):
        self._open.clear()

    def heal(self):
        self._open.set()

    async def _serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._open.wait()
            target_reader, target_writer = await asyncio.open_connection(*self._target)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._carry(reader, target_writer))
                    group.create_task(self._carry(target_reader, writer))
            except* OSError:
                pass
            finally:
                target_writer.close()
        writer.close()

    async def _carry(self, reader, writer):
        while data := await reader.read(65536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        writer.close()
