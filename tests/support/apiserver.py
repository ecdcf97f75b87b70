"""A scripted API server: each answer is the test's, and the product's client of it."""

import asyncio
import json
from functools import cache

from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import Credentials
from metricsapi.kube.identity import Identity
from metricsapi.kube.tls import ClientTLS
from tests.support.listener import Listener
from tests.support.pki import Authority


@cache
def any_authority():
    """A certificate to trust where none is shown: to load those of the system takes 50 ms."""
    return Authority("nobody").text


class ScriptedApiServer(Listener):
    """`answer(request)` gives (status, body) or, for a stream, (200, async iterator of lines).

    It speaks plain HTTP; `client` is the product's own client of it.
    """

    async def __aenter__(self):
        await super().__aenter__()
        url = f"http://{self.host}:{self.port}"
        self.client = KubeClient(
            Credentials(url, ClientTLS(any_authority), Identity("token"), "test")
        )
        return self

    async def __aexit__(self, *exc_info):
        await self.client.__aexit__(None, None, None)
        await super().__aexit__(*exc_info)

    async def respond(self, request, writer):
        status, body = self.answer(request)
        if isinstance(body, (dict, list)):
            self.send(writer, status, body)
            return True
        writer.write(f"HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        async for line in body:
            data = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        return True

    def send(self, writer, status, body):
        data = json.dumps(body).encode()
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)


class Reviewer(ScriptedApiServer):
    """The part of an API server that reviews tokens and permissions.

    `users` by token; `allows(spec)` decides; `down` breaks connections; `delay` in seconds.
    `asked` has the reviews so far.
    """

    def __init__(self):
        super().__init__()
        self.users = {}
        self.allows = lambda _spec: False
        self.audiences = None
        self.reason = ""
        self.down = False
        self.status = 201
        self.delay = 0.0
        self.asked = []

    def count(self, kind):
        return sum(asked["kind"] == kind for asked in self.asked)

    async def respond(self, request, writer):
        if self.down:
            return False
        review = json.loads(request.body)
        self.asked.append(review)
        await asyncio.sleep(self.delay)
        self.send(writer, self.status, {**review, "status": self._decide(review)})
        return True

    def _decide(self, review):
        spec = review["spec"]
        if review["kind"] == "SubjectAccessReview":
            return {"allowed": bool(self.allows(spec)), "reason": self.reason}
        user = self.users.get(spec["token"])
        if user is None:
            return {"authenticated": False, "user": {}, "error": "invalid bearer token"}
        return {"authenticated": True, "user": user, "audiences": self.audiences}
