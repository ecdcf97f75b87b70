"""A scripted HTTP/1.1 server on a real socket: it sends exactly the bytes that a test wants.

What behaves as a cluster does is the sandbox (`metricsapi.tools.sandbox`): real TLS, objects,
watches, kubelets with faults. This is for answers that a test writes itself, byte by byte.
"""

import asyncio
import ssl
from urllib.parse import parse_qs, urlsplit

from tests.support.serving_tasks import ServingTasks


class Request:
    """`headers` by name in lower case, `pairs` as they came; `params` has each name's first."""

    def __init__(self, head, body=b"", peer=None):
        self.line, *lines = head.split("\r\n")
        self.method, self.target, _ = self.line.split(" ", 2)
        parts = urlsplit(self.target)
        self.path = parts.path
        self.params = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.pairs = [tuple(line.split(": ", 1)) for line in lines if line]
        self.headers = {name.lower(): value for name, value in self.pairs}
        self.body = body
        self.peer = peer  # the client's certificate, as the ssl module has it

    @property
    def watching(self):
        return self.params.get("watch") == "true"


class Listener:
    """`answer(request)` gives bytes or None to hang up, or is a coroutine function of (request,
    writer) that writes for itself.

    `requests` has every request so far, `connections` counts them, `open` are those not closed.
    With `port` None it takes a free one at its start. `closing` ends each connection after one
    answer.
    """

    def __init__(self, answer=None, *, tls=None, host="127.0.0.1", port=None, closing=False):
        self.answer = answer
        self.tls = tls
        self.host = host
        self.port = port or 0
        self.closing = closing
        self.requests = []
        self.connections = 0
        self.open = set()
        self._tasks = ServingTasks(self._serve)
        self._server = None

    async def __aenter__(self):
        self._server = await asyncio.start_server(
            self._tasks, self.host, self.port, ssl=self.tls, backlog=512
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        await self._tasks.end(self._server)

    def stop_listening(self):
        """Close the port; connections go on."""
        self._server.close()

    def hang_up(self):
        """Close every open connection, as after the idle time."""
        for writer in list(self.open):
            writer.close()

    async def respond(self, request, writer):
        """Answer one request; False ends the connection."""
        if asyncio.iscoroutinefunction(self.answer):
            await self.answer(request, writer)
            return True
        answer = self.answer(request)
        if answer is None:
            return False
        writer.write(answer)
        return True

    async def _serve(self, reader, writer):
        self.connections += 1
        self.open.add(writer)
        try:
            going_on = True
            while going_on:
                request = await self._read(reader, writer)
                self.requests.append(request)
                going_on = await self.respond(request, writer) and not self.closing
                await writer.drain()
            writer.close()
            await writer.wait_closed()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.open.discard(writer)

    async def _read(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request = Request(head, peer=writer.get_extra_info("peercert"))
        request.body = await reader.readexactly(int(request.headers.get("content-length", 0)))
        return request


def http(body, status=200, *, headers=(), chunks=0):
    """One answer as bytes; with `chunks`, in so many pieces of chunked coding."""
    head = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json", *headers]
    if not chunks:
        return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body
    size = max(1, -(-len(body) // chunks))
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return (
        "\r\n".join([*head, "Transfer-Encoding: chunked", "", ""]).encode() + coded + b"0\r\n\r\n"
    )
