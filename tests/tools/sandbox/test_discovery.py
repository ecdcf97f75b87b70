"""Discovery and OpenAPI of the whole cluster, with those of the product merged in."""

import asyncio
import base64
import os
import subprocess

import pytest

from metricsapi.tools.sandbox.discovery import VERBS
from metricsapi.tools.sandbox.listener import Listener
from metricsapi.tools.sandbox.pki import SERVER, server_context
from tests.api.cluster import recorded
from tests.support.conditions import until
from tests.tools.sandbox.apiservers import Noting, api_service, condition, register

MODERN = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
METRICS = "metrics.k8s.io"


@pytest.fixture
async def product(api):
    """The product's own application behind v1 and v1beta1, which trusts whoever connects."""
    names = ("metrics-server.kube-system.svc",)
    issued = api.ca.issue("server", usages=(SERVER,), names=names)
    listener = Listener(recorded().app, server_context(issued), "127.0.0.1")
    await listener.start()
    bundle = base64.b64encode(api.ca.pem).decode()
    register(api, listener.port, caBundle=bundle)
    api.cluster.apply("apiservices", api_service("v1", caBundle=bundle, versionPriority=50))
    for name in ("v1", "v1beta1"):
        await until(lambda name=name: condition(api, f"{name}.{METRICS}") == ("True", "Passed"))
    yield listener
    await listener.stop()


async def groups(http):
    answer = await http.get("/apis", headers={"Accept": MODERN})
    assert answer.headers["content-type"] == MODERN
    return {each["metadata"]["name"]: each["versions"] for each in answer.json()["items"]}


async def test_aggregated_discovery_has_the_clusters_own_and_the_products_resources(http, product):
    actual = await groups(http)
    assert [each["version"] for each in actual[METRICS]] == ["v1beta1", "v1"], "by priority"
    for version in actual[METRICS]:
        assert version["freshness"] == "Current"
        kinds = {each["resource"]: each["responseKind"]["kind"] for each in version["resources"]}
        assert kinds == {"nodes": "NodeMetrics", "pods": "PodMetrics"}
    (deployments,) = actual["apps"][0]["resources"]
    assert deployments["scope"] == "Namespaced"
    assert deployments["shortNames"] == ["deploy"]
    core = (await http.get("/api", headers={"Accept": MODERN})).json()["items"]
    assert [each["metadata"]["name"] for each in core] == [""]
    names = {each["resource"] for each in core[0]["versions"][0]["resources"]}
    assert names >= {"nodes", "pods", "services", "configmaps"}


async def test_discovery_in_the_old_way(http, product):
    listed = (await http.get("/apis")).json()["groups"]
    (group,) = [each for each in listed if each["name"] == METRICS]
    assert (await http.get(f"/apis/{METRICS}")).json() == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        **group,
    }
    assert group["preferredVersion"]["groupVersion"] == f"{METRICS}/v1beta1"
    assert "v1" in (await http.get("/api")).json()["versions"]
    own = (await http.get("/apis/apps/v1")).json()["resources"]
    assert [(each["name"], each["verbs"]) for each in own] == [("deployments", VERBS)]
    leases = (await http.get("/apis/coordination.k8s.io/v1")).json()["resources"]
    assert [each["name"] for each in leases] == ["leases"]
    passed_on = (await http.get(f"/apis/{METRICS}/v1")).json()
    assert passed_on["groupVersion"] == f"{METRICS}/v1"


async def test_what_is_known_already_is_not_sent_again(http, product):
    answer = await http.get("/apis", headers={"Accept": MODERN})
    known = {"Accept": MODERN, "If-None-Match": answer.headers["etag"]}
    assert (await http.get("/apis", headers=known)).status_code == 304
    older = MODERN.replace("v=v2", "v=v2beta1")
    answer = await http.get("/apis", headers={"Accept": f"{older},application/json"})
    assert answer.json()["apiVersion"] == "apidiscovery.k8s.io/v2beta1"


async def test_a_version_whose_server_is_away_is_stale(api, http, product):
    assert (await groups(http))[METRICS][0]["freshness"] == "Current"
    api.aggregator.endpoints.clear()
    await until(lambda: condition(api) == ("False", "MissingEndpoints"))
    assert [each["freshness"] for each in (await groups(http))[METRICS]] == ["Stale", "Stale"]
    answer = await http.get(f"/apis/{METRICS}/v1beta1/nodes")
    assert (answer.status_code, answer.text) == (503, "service unavailable\n")


async def test_openapi_is_the_products_own(http, product):
    listed = (await http.get("/openapi/v3")).json()["paths"]
    assert listed.keys() > {"api/v1", "apis/apps/v1"}
    for version in ("v1", "v1beta1"):
        path = listed[f"apis/{METRICS}/{version}"]["serverRelativeURL"]
        document = (await http.get(path)).json()
        assert any(name.endswith("NodeMetrics") for name in document["components"]["schemas"])
    merged = (await http.get("/openapi/v2", headers={"Accept": "application/json"})).json()
    assert f"/apis/{METRICS}/v1/nodes" in merged["paths"]
    protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    assert (await http.get("/openapi/v2", headers={"Accept": protobuf})).status_code == 406


async def test_a_wrong_bundle_is_available_but_nothing_is_passed_on(api, http):
    """The probe takes any certificate; what is passed on verifies it."""
    async with Noting(api.front_proxy_ca) as server:
        bundle = base64.b64encode(api.ca.pem).decode()
        register(api, server.port, caBundle=bundle)
        await until(lambda: condition(api) == ("True", "Passed"))
        answer = await http.get(f"/apis/{METRICS}/v1beta1/nodes")
        assert answer.status_code == 503
        assert answer.text.startswith("error trying to reach service: ")
        assert not [each for each in server.requests if each.path.endswith("nodes")]


async def test_kubectl_explains_and_lists_what_the_product_serves(
    api, product, tmp_path, kubectl_binary
):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(api.kubeconfig("admin", ("system:masters",)))

    async def kubectl(*args):
        return await asyncio.to_thread(
            subprocess.check_output,
            [kubectl_binary, f"--cache-dir={tmp_path}", *args],
            env={**os.environ, "KUBECONFIG": str(kubeconfig)},
            text=True,
            timeout=30,
        )

    explained = await kubectl("explain", "podmetrics.containers")
    assert "usage\t<map[string]Quantity> -required-" in explained
    assert "VERSION:    v1beta1" in explained
    assert "usage" in await kubectl("explain", "podmetrics", f"--api-version={METRICS}/v1")
    listed = (await kubectl("api-resources")).splitlines()
    assert [x.split() for x in listed if "NodeMetrics" in x] == [
        ["nodes", f"{METRICS}/v1beta1", "false", "NodeMetrics"]
    ]
    assert [x.split()[0] for x in listed if x.endswith(" Pod")] == ["pods"]
    assert f"{METRICS}/v1\n" in await kubectl("api-versions")
    assert "node-0" in await kubectl("get", "nodemetrics")
    yaml = await kubectl("get", "podmetrics", "-A", "-o", "yaml")
    assert yaml.count("kind: PodMetrics") == 3000
    top = await kubectl("top", "pods", "-n", "ns-1", "--containers", "-l", "app=app-1")
    assert len(top.splitlines()) == 1 + 2 * 100
