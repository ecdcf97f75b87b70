"""Who is believed by the stand-in API server, what its reviews answer, and rotated authorities."""

import hashlib
import json

import httpx
import pytest

from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import load_credentials
from metricsapi.tools.sandbox.pki import DAY, Authority
from metricsapi.tools.sandbox.users import CREDENTIAL
from tests.support.conditions import until
from tests.tools.sandbox.apiservers import (
    Noting,
    client,
    condition,
    register,
)

AUTHENTICATION = "/apis/authentication.k8s.io/v1"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"
WHOAMI = f"{AUTHENTICATION}/selfsubjectreviews"
CONFIGMAP = ("configmaps", "extension-apiserver-authentication", "kube-system")
ACCOUNT = "system:serviceaccount:ns:reader"


async def whoami(http, **options):
    answer = await http.post(WHOAMI, json={}, **options)
    return answer.json()["status"]["userInfo"] if answer.status_code == 201 else answer.status_code


async def review(http, path, spec):
    answer = await http.post(path, json={"kind": path.rsplit("/", 1)[1], "spec": spec})
    return answer.json()["status"] if answer.status_code == 201 else answer.status_code


async def test_a_token_a_certificate_and_nobody(api):
    async with client(api, api.add_user(ACCOUNT)) as http:
        reported = await whoami(http)
        assert reported["username"] == ACCOUNT
        groups = ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]
        assert reported["groups"] == groups
        assert reported["extra"][CREDENTIAL][0].startswith("JTI=")
        assert await whoami(http, headers={"Authorization": "Bearer nonsense"}) == 401
    issued = api.ca_for_clients.issue("alice", groups=("devs",))
    async with client(api, issued=issued) as http:
        reported = await whoami(http)
        assert (reported["username"], reported["groups"]) == (
            "alice",
            ["devs", "system:authenticated"],
        )
        fingerprint = hashlib.sha256(issued.der).hexdigest()
        assert reported["extra"] == {CREDENTIAL: [f"X509SHA256={fingerprint}"]}
    async with client(api) as http:
        assert await whoami(http) == 403
        refused = (await http.get("/api/v1/nodes")).json()
        assert 'User "system:anonymous" cannot list resource "nodes"' in refused["message"]


async def test_certificates_that_are_not_believed(api):
    for issued in (
        Authority("other").issue("alice"),
        api.front_proxy_ca.issue("front-proxy-client"),
        api.ca_for_clients.issue("alice", start=-2 * DAY, end=-DAY),
    ):
        async with client(api, issued=issued) as http:
            with pytest.raises(httpx.TransportError):
                await http.get("/version")


async def test_a_rotated_client_ca_is_believed_at_once_and_a_removed_one_no_longer(api):
    old = api.ca_for_clients.issue("alice")
    async with client(api, issued=old) as kept:
        assert (await whoami(kept))["username"] == "alice"
        api.authorities.rotate_clients()
        new = api.ca_for_clients.issue("bob")
        async with client(api, issued=new) as http:
            assert (await whoami(http))["username"] == "bob"
        assert (await whoami(kept))["username"] == "alice"
        bundle = api.cluster.get(*CONFIGMAP)["data"]["client-ca-file"]
        assert bundle.count("BEGIN CERTIFICATE") == 2
        api.authorities.forget_old()
        assert await whoami(kept) == 401, "also on a connection that was open"
    bundle = api.cluster.get(*CONFIGMAP)["data"]["client-ca-file"]
    assert bundle == api.ca_for_clients.pem.decode()


async def test_a_rotated_front_proxy_ca_is_used_at_once_and_is_in_the_configmap(api, http):
    old = api.front_proxy_ca
    async with Noting(api.ca) as server:
        server.believe(old)
        register(api, server.port, insecureSkipTLSVerify=True)
        await until(lambda: condition(api) == ("True", "Passed"))
        path = "/apis/metrics.k8s.io/v1beta1/nodes"
        assert (await http.get(path)).status_code == 200
        api.authorities.rotate_front_proxies()
        bundle = api.cluster.get(*CONFIGMAP)["data"]["requestheader-client-ca-file"]
        assert bundle == api.front_proxy_ca.pem.decode() + old.pem.decode()
        assert (await http.get(path)).status_code == 503, "the new one is not believed yet"
        server.believe(api.front_proxy_ca)
        assert (await http.get(path)).status_code == 200
        assert server.requests[-1].peer["issuer"] == ((("commonName", "front-proxy-next"),),)


async def test_token_reviews_know_audiences(api, http):
    token = api.add_user(ACCOUNT, audiences=("https://kubernetes.default.svc", "metrics"))
    elsewhere = api.add_user(ACCOUNT, audiences=("vault",))
    path = f"{AUTHENTICATION}/tokenreviews"
    reported = await review(http, path, {"token": token})
    assert reported["authenticated"]
    assert reported["user"]["username"] == ACCOUNT
    assert reported["user"]["uid"]
    assert reported["audiences"] == ["https://kubernetes.default.svc"]
    reported = await review(http, path, {"token": token, "audiences": ["metrics", "other"]})
    assert reported["audiences"] == ["metrics"]
    reported = await review(http, path, {"token": token, "audiences": ["other"]})
    assert not reported["authenticated"]
    assert "audiences" in reported["error"]
    assert not (await review(http, path, {"token": elsewhere}))["authenticated"]
    assert (await review(http, path, {"token": elsewhere, "audiences": ["vault"]}))["authenticated"]
    assert (await review(http, path, {"token": "nonsense"}))["error"] == "invalid bearer token"
    assert await review(http, path, {}) == 422
    async with client(api, elsewhere) as other:
        assert await whoami(other) == 401, "a token for someone else"


async def test_access_reviews_follow_the_rules_and_their_changes(api, http):
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["p"]}
    bind = {
        "metadata": {"name": "b", "namespace": "ns"},
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "ns", "name": "reader"}],
    }
    api.cluster.apply("rolebindings", bind)
    asked = {"verb": "get", "resource": "pods", "namespace": "ns", "name": "p"}
    path = f"{AUTHORIZATION}/subjectaccessreviews"
    spec = {"user": ACCOUNT, "resourceAttributes": asked}
    assert (await review(http, path, spec)) == {"allowed": False}
    role = {"metadata": {"name": "r", "namespace": "ns"}, "rules": [rule]}
    api.cluster.apply("roles", role)
    assert (await review(http, path, spec))["allowed"]
    local = f"{AUTHORIZATION}/namespaces/ns/localsubjectaccessreviews"
    assert (await review(http, local, spec))["allowed"]
    for change in ({"name": "q"}, {"namespace": "other"}, {"verb": "list"}, {"subresource": "log"}):
        other = {"user": ACCOUNT, "resourceAttributes": asked | change}
        assert (await review(http, path, other)) == {"allowed": False}
    masters = {"groups": ["system:masters"], "nonResourceAttributes": {"verb": "get", "path": "/x"}}
    assert (await review(http, path, masters))["allowed"]
    both = spec | {"nonResourceAttributes": {"verb": "get", "path": "/x"}}
    for wrong in (both, {"user": "x"}, {"resourceAttributes": asked}):
        assert await review(http, path, wrong) == 422
    async with client(api, api.add_user(ACCOUNT)) as own:
        assert await review(own, path, spec) == 403
        mine = f"{AUTHORIZATION}/selfsubjectaccessreviews"
        assert (await review(own, mine, {"resourceAttributes": asked}))["allowed"]
        rules = await review(own, f"{AUTHORIZATION}/selfsubjectrulesreviews", {"namespace": "ns"})
        assert rule in rules["resourceRules"]


@pytest.mark.parametrize("certificate", [False, True])
async def test_the_products_credentials_load_what_it_writes(api, tmp_path, certificate):
    path = tmp_path / "kubeconfig"
    path.write_text(api.kubeconfig("somebody", ("devs",), certificate=certificate))
    async with KubeClient(load_credentials(str(path))) as kube:
        reported = json.loads(await kube.request("POST", WHOAMI, body={}))["status"]["userInfo"]
    assert (reported["username"], reported["groups"]) == (
        "somebody",
        ["devs", "system:authenticated"],
    )
    assert ("X509SHA256" in str(reported["extra"])) is certificate
