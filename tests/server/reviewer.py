"""The part of an API server that judges tokens and permissions, on a real socket."""

import asyncio
import json
import ssl

from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import Credentials


class Reviewer:
    """`users` by token; `allows(spec)` decides; `down` breaks connections; `delay` in seconds."""

    def __init__(self):
        self.users = {}
        self.allows = lambda _spec: False
        self.audiences = None
        self.reason = ""
        self.down = False
        self.status = 201
        self.delay = 0.0
        self.asked = []

    async def __aenter__(self):
        self._tasks = set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused: it speaks plain HTTP
        self.client = KubeClient(
            Credentials(f"http://127.0.0.1:{port}", context, lambda: None, "test")
        )
        return self

    async def __aexit__(self, *_):
        await self.client.__aexit__(None, None, None)
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def count(self, kind):
        return sum(asked["kind"] == kind for asked in self.asked)

    def _connected(self, reader, writer):
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                asked = json.loads(await reader.readexactly(length))
                if self.down:
                    return
                self.asked.append(asked)
                await asyncio.sleep(self.delay)
                data = json.dumps({**asked, "status": self._judge(asked)}).encode()
                writer.write(
                    f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                    + data
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _judge(self, asked):
        spec = asked["spec"]
        if asked["kind"] == "SubjectAccessReview":
            return {"allowed": bool(self.allows(spec)), "reason": self.reason}
        user = self.users.get(spec["token"])
        if user is None:
            return {"authenticated": False, "user": {}, "error": "invalid bearer token"}
        return {"authenticated": True, "user": user, "audiences": self.audiences}
