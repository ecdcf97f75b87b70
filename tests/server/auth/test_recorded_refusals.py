"""Refusals, compared byte by byte with what the real metrics-server answered."""

import json

import pytest

from tests.server.serving import configmap, serving
from tests.support.https_client import connect
from tests.support.paths import RECORDED
from tests.support.pki import Authority

EXCHANGES = json.loads((RECORDED / "metrics-server-0.8.1.json").read_text())
REFUSED = [recorded for recorded in EXCHANGES if recorded["status"] in (401, 403)]
LETS_IN = ("x509-admin", "sa-token-granted", "nobody-discovery")
ADMITTED = [recorded for recorded in EXCHANGES if recorded["name"] in LETS_IN]
TOKENS = {"@SA": "system:serviceaccount:default:plain", "@SAG": "granted"}


@pytest.fixture(scope="module")
def authorities():
    return Authority("front-proxy-ca"), Authority("kubernetes-ca")


def allows(spec):
    if spec["user"] in ("granted", "kubernetes-admin"):
        return True
    path = spec.get("nonResourceAttributes", {}).get("path", "")
    return path.startswith("/apis") and "system:authenticated" in spec["groups"]


async def exchange(authorities, recorded):
    front, clients = authorities
    certificate = {
        None: None,
        "front-proxy-client": front.issue("front-proxy-client"),
        "admin": clients.issue("kubernetes-admin", groups=["kubeadm:cluster-admins"]),
    }[recorded["client_cert"]]
    async with serving(configmap(front, clients)) as running:
        running.reviewer.users = {
            token: {"username": name, "groups": ["system:serviceaccounts"]}
            for token, name in TOKENS.items()
        }
        running.reviewer.allows = allows
        async with connect(running.port, certificate) as connection:
            return await connection.request(
                recorded["path"], method=recorded["method"], headers=recorded["headers"]
            )


@pytest.mark.parametrize("recorded", REFUSED, ids=lambda recorded: recorded["name"])
async def test_a_refusal_is_the_recorded_one(authorities, recorded):
    """Status, body, and every header but the date and the request's id: recordings lack them."""
    answer = await exchange(authorities, recorded)
    headers = {name.title(): value for name, value in answer.headers}
    assert headers.pop("Date")
    assert headers.pop("Audit-Id")
    assert (answer.status, headers) == (recorded["status"], recorded["response_headers"])
    assert answer.body.decode() == recorded["body"]


@pytest.mark.parametrize("recorded", ADMITTED, ids=lambda recorded: recorded["name"])
async def test_who_was_let_in_is_let_in(authorities, recorded):
    assert (await exchange(authorities, recorded)).status == recorded["status"] == 200


def test_the_recording_has_them_all():
    assert len(REFUSED) == 9
    assert len(ADMITTED) == 3
