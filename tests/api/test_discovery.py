"""What a client is told it can ask for, and that it is told so once."""

from __future__ import annotations

import json

import pytest

from tests.api.cluster import recorded
from tests.support import kubernetes_proto

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
PROTOBUF = "application/vnd.kubernetes.protobuf"


@pytest.fixture(scope="module")
def cluster():
    return recorded()


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_both_versions_have_the_same_resources(cluster, version):
    listed = json.loads(cluster.get(f"/apis/metrics.k8s.io/{version}").body)
    assert listed["groupVersion"] == f"metrics.k8s.io/{version}"
    assert [(one["name"], one["kind"], one["namespaced"]) for one in listed["resources"]] == [
        ("nodes", "NodeMetrics", False),
        ("pods", "PodMetrics", True),
    ]


@pytest.mark.parametrize(
    ("accept", "version"), [(f"{V2},{V2BETA1},application/json", "v2"), (V2BETA1, "v2beta1")]
)
def test_aggregated_discovery(cluster, accept, version):
    answer = cluster.get("/apis", accept=accept)
    found = json.loads(answer.body)
    assert found["apiVersion"] == f"apidiscovery.k8s.io/{version}"
    (group,) = found["items"]
    assert {one["version"] for one in group["versions"]} == {"v1", "v1beta1"}
    again = cluster.get("/apis", accept=accept, if_none_match=answer.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert cluster.get("/apis", accept=accept, if_none_match='"other"').status == 200


@pytest.mark.parametrize("path", ["/apis", "/apis/metrics.k8s.io", "/apis/metrics.k8s.io/v1beta1"])
def test_protobuf_discovery_says_what_json_says(cluster, path):
    decoded = kubernetes_proto.decode(cluster.get(path, accept=PROTOBUF).body)
    plain = json.loads(cluster.get(path).body)
    assert decoded["kind"] == plain["kind"]
    if "resources" in plain:
        names = [one["name"] for one in decoded["resources"]]
        assert names == [one["name"] for one in plain["resources"]]
        assert decoded["resources"][0]["verbs"]["items"] == plain["resources"][0]["verbs"]


def test_openapi_v3_links_to_documents_by_their_hash(cluster):
    paths = json.loads(cluster.get("/openapi/v3").body)["paths"]
    assert {"apis/metrics.k8s.io/v1", "apis/metrics.k8s.io/v1beta1"} <= paths.keys()
    for name, entry in paths.items():
        url = entry["serverRelativeURL"]
        answer = cluster.get(url)
        assert answer.status == 200, name
        assert json.loads(answer.body)["openapi"].startswith("3.")
        assert url.rpartition("hash=")[2] in answer.headers["etag"]
        again = cluster.get(url, if_none_match=answer.headers["etag"])
        assert again.status == 304


@pytest.mark.parametrize("path", ["/openapi/v2", "/openapi/v3/apis/metrics.k8s.io/v1"])
def test_openapi_describes_what_is_served(cluster, path):
    document = json.loads(cluster.get(path).body)
    schemas = document.get("definitions") or document["components"]["schemas"]
    references = set()

    def walk(value):
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                references.add(value["$ref"].rpartition("/")[2])
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    walk(document)
    assert references <= schemas.keys()
    kinds = {
        kind["kind"]
        for schema in schemas.values()
        for kind in schema.get("x-kubernetes-group-version-kind", [])
    }
    assert {"NodeMetrics", "PodMetrics", "NodeMetricsList", "PodMetricsList"} <= kinds
    pod = next(s for name, s in schemas.items() if name.endswith(".PodMetrics"))
    served = json.loads(cluster.get("/apis/metrics.k8s.io/v1/namespaces/ns-3/pods/app-7-3").body)
    assert served.keys() <= pod["properties"].keys()
    assert set(pod["required"]) <= served.keys()
