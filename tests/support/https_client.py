"""A bare HTTP/1.1 client: exactly the bytes that a test wants, over TLS."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.support.pki import client_context


@dataclass
class Answer:
    status: int
    headers: list
    body: bytes

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Connection:
    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, head=False):
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = [tuple(line.split(": ", 1)) for line in lines[1:] if line]
        answer = Answer(int(lines[0].split(" ")[1]), headers, b"")
        length = int(answer.header("content-length") or 0)
        answer.body = b"" if head else await self.reader.readexactly(length)
        return answer

    async def request(self, path, *, method="GET", headers=()):
        pairs = headers.items() if isinstance(headers, dict) else headers
        head = "".join(f"{name}: {value}\r\n" for name, value in [("Host", "localhost"), *pairs])
        await self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())
        return await self.answer(head=method == "HEAD")

    async def closed(self):
        """Wait until the server has closed the connection; return what it still sent."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""


@asynccontextmanager
async def connect(port, certificate=None, **options):
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            port,
            ssl=client_context(certificate, **options),
            server_hostname="localhost",
        )
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()
