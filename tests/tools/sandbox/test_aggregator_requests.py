"""The aggregation layer sends what kube-apiserver was recorded to send: names, order, values."""

import json

import pytest

from metricsapi.tools.sandbox.rbac import User
from metricsapi.tools.sandbox.users import AUTHENTICATED, CREDENTIAL
from tests.support.conditions import until
from tests.support.paths import RECORDED
from tests.tools.sandbox.apiservers import (
    Noting,
    admin,
    client,
    condition,
    register,
)

REQUESTS = [
    json.loads(line) for line in (RECORDED / "aggregator-requests.jsonl").read_text().splitlines()
]
PROBE = REQUESTS[0]
BY_USERS = [each for each in REQUESTS if "X-Forwarded-For" in each["headers"]]
ITS_OWN = {
    (each["path"], each["headers"].get("Accept", "")): each
    for each in REQUESTS[1:]
    if "X-Forwarded-For" not in each["headers"]
}
V1BETA1 = "/apis/metrics.k8s.io/v1beta1"
_SENT_BY_KUBECTL = ("User-Agent", "Accept", "Accept-Encoding", "Kubectl-Command", "Kubectl-Session")


@pytest.fixture
async def backend(api):
    async with Noting(api.ca) as server:
        server.believe(api.front_proxy_ca)
        register(api, server.port, insecureSkipTLSVerify=True)
        await until(lambda: condition(api) == ("True", "Passed"))
        yield server


def expected(recorded, port):
    """The recorded headers, at our server's address."""
    where = f"127.0.0.1:{port}"
    hosts = ("Host", "X-Forwarded-Host")
    return [(n, where if n in hosts else v) for n, v in recorded["headers"].items()]


def recorded_user(recorded):
    """The user whom a recorded request names; of groups the recording has the last."""
    headers = recorded["headers"]
    extra = headers["X-Remote-Extra-Authentication.kubernetes.io%2fcredential-Id"]
    return User(
        headers["X-Remote-User"],
        (headers["X-Remote-Group"],),
        headers.get("X-Remote-Uid", ""),
        ((CREDENTIAL, extra),),
    )


async def test_the_probe_is_the_recorded_one_five_times_over_fresh_connections(backend):
    await until(lambda: len(backend.to(V1BETA1)) >= 5)
    assert backend.connections >= 5
    for headers in backend.to(V1BETA1)[:5]:
        assert headers == expected(PROBE, backend.port)
    assert backend.requests[0].peer["subject"] == ((("commonName", "front-proxy-client"),),)


@pytest.mark.parametrize("recorded", BY_USERS, ids=lambda each: each["path"].split("/", 3)[3])
async def test_a_users_request_is_passed_on_as_recorded(api, backend, recorded):
    token = api.add_user("anybody")
    api.tokens[token] = recorded_user(recorded)
    api.cluster.apply("clusterrolebindings", _everything_for(recorded["headers"]["X-Remote-User"]))
    sent = {n: v for n, v in recorded["headers"].items() if n in _SENT_BY_KUBECTL}
    if sent["User-Agent"].startswith("kube-controller-manager"):
        del sent["Accept-Encoding"]  # it asks for no compression, Go's transport does
    async with client(api, token) as http:
        http.headers.clear()
        answer = await http.get(
            recorded["path"], headers={**sent, "Authorization": f"Bearer {token}"}
        )
    assert answer.status_code == 200
    assert backend.to(recorded["path"]) == [expected(recorded, backend.port)]


def _everything_for(user):
    return {
        "metadata": {"name": "recorded"},
        "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": user}],
    }


async def test_its_own_readings_are_the_recorded_ones(api, backend):
    etags = {}
    for (path, _), recorded in ITS_OWN.items():
        if etag := recorded["headers"].get("If-None-Match"):
            etags.setdefault(path, etag)
    discovery = {"kind": "APIGroupDiscoveryList", "items": []}
    listed = {"resources": []}
    backend.answers = {
        "/apis": (200, {"ETag": etags["/apis"]}, discovery),
        V1BETA1: (200, {}, listed),
        "/openapi/v2": (200, {"ETag": etags["/openapi/v2"]}, {"paths": {}}),
    }
    async with admin(api) as http:
        accept = {"Accept": ITS_OWN["/openapi/v2", "application/json"]["headers"]["Accept"]}
        modern = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
        for _ in range(2):
            for path, headers in (
                ("/apis", modern),
                ("/openapi/v2", accept),
                ("/openapi/v3", {}),
            ):
                assert (await http.get(path, headers=headers)).status_code == 200
            # Another spec is another server: it is asked again, with the ETag that is known.
            item = api.cluster.get("apiservices", "v1beta1.metrics.k8s.io")
            item["spec"]["versionPriority"] += 1
            api.cluster.apply("apiservices", item)
        backend.answers["/apis"] = (304, {}, b"")
        assert (await http.get("/apis", headers=modern)).status_code == 200
    for (path, _), recorded in ITS_OWN.items():
        if path != V1BETA1:
            assert backend.to(path)[-1] == expected(recorded, backend.port), path


async def test_a_server_without_aggregated_discovery_is_read_in_the_old_way(api, backend):
    recorded = ITS_OWN[V1BETA1, "application/json"]
    etag = recorded["headers"]["If-None-Match"]
    nodes = {"name": "nodes", "kind": "NodeMetrics", "namespaced": False, "verbs": ["get"]}
    groups = {"kind": "APIGroupList", "groups": []}
    backend.answers = {
        "/apis": (200, {"ETag": etag}, groups),
        V1BETA1: (200, {}, {"resources": [nodes]}),
    }
    modern = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    async with admin(api) as http:
        actual = (await http.get("/apis", headers={"Accept": modern})).json()
    assert backend.to(V1BETA1)[-1] == expected(recorded, backend.port)
    (group,) = [each for each in actual["items"] if each["metadata"]["name"] == "metrics.k8s.io"]
    assert group["versions"][0]["resources"][0]["resource"] == "nodes"


async def test_nobodys_identity_headers_are_passed_on(api, backend):
    async with admin(api) as http:
        forged = {"X-Remote-User": "root", "X-Remote-Extra-A": "b", "X-Forwarded-For": "1.2.3.4"}
        await http.get(f"{V1BETA1}/nodes", headers=forged)
    headers = backend.to(f"{V1BETA1}/nodes")[0]
    assert ("X-Remote-User", "kubernetes-admin") in headers
    assert ("X-Forwarded-For", "1.2.3.4, 127.0.0.1") in headers
    assert not {"root", "b"} & {value for _, value in headers}
    assert "Authorization" not in dict(headers)
    assert [v for n, v in headers if n == "X-Remote-Group"] == ["system:masters", AUTHENTICATED]


async def test_targets_are_written_anew_as_go_does(api, backend):
    async with admin(api) as http:
        await http.get(f"{V1BETA1}/pods?limit=5&labelSelector=a in (b,c)&limit=6")
    assert (
        backend.requests[-1].target
        == f"{V1BETA1}/pods?labelSelector=a+in+%28b%2Cc%29&limit=5&limit=6"
    )


@pytest.mark.parametrize(("method", "code"), [("GET", 200), ("POST", 503)])
async def test_a_kept_connection_that_closes_costs_no_reading(api, backend, method, code):
    async with admin(api) as http:
        assert (await http.get(f"{V1BETA1}/nodes")).status_code == 200
        backend.drop_next = True
        answer = await http.request(method, f"{V1BETA1}/nodes", json={} if code == 503 else None)
    assert (answer.status_code, backend.drop_next) == (code, False)


async def test_a_bundle_that_is_none_is_an_error_of_the_proxy(api, backend):
    register(api, backend.port, caBundle="####")
    await until(lambda: condition(api) == ("True", "Passed"))
    async with admin(api) as http:
        assert (await http.get(f"{V1BETA1}/nodes")).status_code == 500
