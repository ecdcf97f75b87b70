"""Only the aggregation layer, by its own certificate, speaks for others."""

import asyncio
import json
import ssl
import time
from contextlib import asynccontextmanager

import pytest

from metricsapi.serve.auth.authenticator import Authenticator
from metricsapi.serve.auth.configuration import from_configmap
from metricsapi.serve.auth.middleware import AuthMiddleware
from metricsapi.serve.certificates import make_serving
from metricsapi.serve.server import Server
from metricsapi.serve.tls import ServingTLS
from tests.trust.http import connect
from tests.trust.pki import Authority


async def whoami(scope, receive, send):
    user = scope["state"]["user"]
    body = json.dumps([user.name, user.uid, user.groups, dict(user.extra)]).encode()
    length = str(len(body)).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
    )
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(configuration, app=whoami):
    authenticator = Authenticator(configuration)
    pair = make_serving(["localhost"], ["127.0.0.1"], now=time.time(), lifetime=3600)
    tls = ServingTLS(pair, authorities=configuration.pem)
    server = Server(
        AuthMiddleware(app, authenticator, frozenset({"/healthz"})),
        tls=tls,
        host="127.0.0.1",
        port=0,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run())
        await server.started.wait()
        yield server
        server.begin_shutdown()


@pytest.fixture(scope="module")
def front_ca():
    return Authority("front-proxy-ca")


def configuration(front_ca, **more):
    return from_configmap(
        {
            "requestheader-client-ca-file": front_ca.text,
            "requestheader-allowed-names": '["front-proxy-client"]',
            "requestheader-username-headers": '["X-Remote-User"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
            **more,
        }
    )


async def test_the_front_proxy_speaks_for_others(front_ca):
    """User, uid, groups and extras come from its headers; keys of extras are decoded."""
    certificate = front_ca.issue("front-proxy-client")
    async with served(configuration(front_ca)) as server, connect(server.port, certificate) as c:
        answer = await c.request(
            "/x",
            headers=[
                ("X-Remote-User", "Jo%2fe"),
                ("X-Remote-Uid", "7"),
                ("X-Remote-Group", "system:masters"),
                ("X-Remote-Group", "b"),
                ("X-Remote-Extra-Authentication.kubernetes.io%2fcredential-Id", "A=b%2f"),
            ],
        )
    assert answer.status == 200
    assert json.loads(answer.body) == [
        "Jo%2fe",
        "7",
        ["system:masters", "b", "system:authenticated"],
        {"authentication.kubernetes.io/credential-id": ["A=b%2f"]},
    ]


async def test_nobody_else_does(front_ca):
    """Without a certificate the headers are nothing; a name that is not allowed is refused."""
    forged = {"X-Remote-User": "a", "X-Remote-Group": "system:masters"}
    async with served(configuration(front_ca)) as server:
        async with connect(server.port) as c:
            assert (await c.request("/x", headers=forged)).status == 403
        async with connect(server.port, front_ca.issue("someone")) as c:
            assert (await c.request("/x", headers=forged)).status == 401
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            async with connect(server.port, Authority().issue("front-proxy-client")) as c:
                await c.request("/x", headers=forged)
