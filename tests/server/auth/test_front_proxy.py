"""Only the aggregation layer, by its own certificate, speaks for others."""

import asyncio
import json
import ssl

import pytest

from tests.server.serving import configmap, serving
from tests.support.https_client import connect
from tests.support.pki import Authority


@pytest.fixture(scope="module")
def front_ca():
    return Authority("front-proxy-ca")


async def test_the_front_proxy_speaks_for_others(front_ca):
    """User, uid, groups and extras come from its headers; keys of extras are decoded."""
    certificate = front_ca.issue("front-proxy-client")
    async with serving(configmap(front_ca)) as running, connect(running.port, certificate) as c:
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
    assert json.loads(answer.body) == {
        "name": "Jo%2fe",
        "uid": "7",
        "groups": ["system:masters", "b", "system:authenticated"],
        "extra": {"authentication.kubernetes.io/credential-id": ["A=b%2f"]},
        "path": "/x",
    }


async def test_nobody_else_does(front_ca):
    """Without a certificate the headers are nothing; a name that is not allowed is refused."""
    forged = {"X-Remote-User": "a", "X-Remote-Group": "system:masters"}
    async with serving(configmap(front_ca)) as running:
        async with connect(running.port) as c:
            assert (await c.request("/x", headers=forged)).status == 403
        async with connect(running.port, front_ca.issue("someone")) as c:
            assert (await c.request("/x", headers=forged)).status == 401
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            async with connect(running.port, Authority().issue("front-proxy-client")) as c:
                await c.request("/x", headers=forged)
