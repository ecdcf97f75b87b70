"""A client of little cost: kept-alive HTTP/1.1 over TLS, as the aggregation layer sends it."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@dataclass(frozen=True)
class Answer:
    """A response: its status, its size on the wire in bytes, and the seconds that it took."""

    status: int
    size: int
    seconds: float
    body: bytes


class Connection:
    """One kept-alive connection, as the front proxy for an administrator."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 443
        self._context = context
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def get(self, path: str, accept: str = JSON, *, gzip: bool = False) -> Answer:
        """Send one GET and read the whole response; a closed connection is opened again once."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                self.host, self.port, ssl=self._context, limit=2**22
            )
        began = time.perf_counter()
        self._writer.write(
            (
                f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\nAccept: {accept}\r\n"
                "X-Remote-User: bench\r\nX-Remote-Group: system:masters\r\n"
                f"{'Accept-Encoding: gzip' if gzip else 'X-Plain: 1'}\r\n\r\n"
            ).encode()
        )
        status, size, body = await self._read()
        return Answer(status, size, time.perf_counter() - began, body)

    async def _read(self) -> tuple[int, int, bytes]:
        assert self._reader is not None
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        headers = dict(
            line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
        )
        if b"content-length" in headers:
            body = await self._reader.readexactly(int(headers[b"content-length"]))
            return status, len(body), body
        parts = []
        while size := int((await self._reader.readline()).split(b";")[0], 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readline()
        body = b"".join(parts)
        return status, len(body), body

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._reader = self._writer = None
