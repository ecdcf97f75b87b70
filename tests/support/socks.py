"""A SOCKS5 proxy (RFC 1928, RFC 1929) for tests: it notes what it is asked for and connects."""

import asyncio
import contextlib
import ipaddress

from tests.support.serving_tasks import ServingTasks

SUCCEEDED = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"


class SocksProxy:
    """`with` it: a proxy on `port`. `names` are those it resolves: host to host.

    `asked` has the kind of address (4, 6 or "name"), the host and the port of each connection,
    `users` the credentials. With a `user` it asks for credentials and takes those alone. `replies`
    in place of the usual ones: (method, authentication, connection), and then it closes. `pieces`
    sends each reply byte by byte; `silent` sends nothing.
    """

    def __init__(self, names=None, *, user=None, replies=None, pieces=False, silent=False):
        self.names = names or {}
        self.user = user
        self.replies = replies
        self.pieces = pieces
        self.silent = silent
        self.asked = []
        self.users = []
        self._tasks = ServingTasks(self._connected)

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._tasks, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        await self._tasks.end(self._server)

    async def _connected(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)

    async def _serve(self, reader, writer):
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        assert version == 5
        if self.silent:
            await reader.read()
            return
        if self.replies is not None:
            for reply in self.replies:
                await self._reply(writer, reply)
                await asyncio.sleep(0)
            return
        method = 2 if self.user else 0
        await self._reply(writer, bytes((5, method if method in methods else 255)))
        if self.user and not await self._authenticate(reader, writer):
            return
        host, port = await self._address(reader)
        connection = asyncio.open_connection(self.names.get(host, host), port)
        to_server = await connection
        await self._reply(writer, SUCCEEDED)
        pumps = [_pump(reader, to_server[1]), _pump(to_server[0], writer)]
        try:
            await asyncio.gather(*pumps)
        finally:
            to_server[1].transport.abort()

    async def _authenticate(self, reader, writer):
        fields = []
        await reader.readexactly(1)
        for _ in range(2):
            (length,) = await reader.readexactly(1)
            fields.append((await reader.readexactly(length)).decode())
        self.users.append(tuple(fields))
        good = tuple(fields) == self.user
        await self._reply(writer, bytes((1, 0 if good else 1)))
        return good

    async def _address(self, reader):
        version, command, _, kind = await reader.readexactly(4)
        assert (version, command) == (5, 1)
        if kind == 3:
            (length,) = await reader.readexactly(1)
            host = (await reader.readexactly(length)).decode()
        else:
            packed = await reader.readexactly({1: 4, 4: 16}[kind])
            host = str(ipaddress.ip_address(packed))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(({1: 4, 3: "name", 4: 6}[kind], host, port))
        return host, port

    async def _reply(self, writer, data):
        step = 1 if self.pieces else max(1, len(data))
        for i in range(0, len(data), step):
            writer.write(data[i : i + step])
            await writer.drain()
            if self.pieces:
                await asyncio.sleep(0.001)


async def _pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
