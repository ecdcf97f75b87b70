"""A scripted API server on a real socket: each request takes the next answer."""

import asyncio
import json
import ssl
from urllib.parse import parse_qs, urlsplit

from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import Credentials


class Request:
    def __init__(self, method, target, headers):
        self.method = method
        self.path = urlsplit(target).path
        self.params = {k: v[0] for k, v in parse_qs(urlsplit(target).query).items()}
        self.headers = headers

    @property
    def watching(self):
        return self.params.get("watch") == "true"


class ScriptedApiServer:
    """`answer(request)` gives (status, body) or, for a stream, (200, async iterator of lines)."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = []

    async def __aenter__(self):
        self._tasks = set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.client = KubeClient(
            Credentials(
                f"http://127.0.0.1:{port}",
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # unused: it speaks plain HTTP
                lambda: "token",
                "test",
            )
        )
        return self

    async def __aexit__(self, *_):
        await self.client.__aexit__(None, None, None)
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader, writer):
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = {
                    name.lower(): value
                    for name, value in (line.split(": ", 1) for line in head[1:] if line)
                }
                request = Request(method, target, headers)
                self.requests.append(request)
                status, body = self.answer(request)
                if isinstance(body, (dict, list)):
                    data = json.dumps(body).encode()
                    writer.write(
                        f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                        + data
                    )
                    await writer.drain()
                    continue
                writer.write(f"HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
                async for line in body:
                    data = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
                    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
