"""Discovery documents, and that a client which has them gets 304."""

from __future__ import annotations

import json

import pytest

from tests.api.cluster import recorded
from tests.support import kubernetes_proto
from tests.support.paths import RECORDED

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
    assert [(each["name"], each["kind"], each["namespaced"]) for each in listed["resources"]] == [
        ("nodes", "NodeMetrics", False),
        ("pods", "PodMetrics", True),
    ]


UNKNOWN = "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList"


def proto(accept):
    return accept.replace("application/json", PROTOBUF)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (f"{V2},{V2BETA1},application/json", V2),  # kubectl since 1.30, and its aggregator
        (f"{V2BETA1},application/json", V2BETA1),  # kubectl 1.26 to 1.29
        (V2BETA1, V2BETA1),  # the aggregator of 1.27 to 1.29
        (f"{V2BETA1},{V2}", V2BETA1),
        (f"{V2BETA1};q=0.5,{V2};q=0.9", V2),
        (f"{UNKNOWN},{V2BETA1},application/json", V2BETA1),
        (f"{proto(V2BETA1)},{V2BETA1}", proto(V2BETA1)),
        (f"{UNKNOWN},application/json", "application/json"),
        ("application/json", "application/json"),
    ],
)
def test_aggregated_discovery_is_in_the_version_that_is_asked_for(cluster, accept, content_type):
    answer = cluster.get("/apis", accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (200, content_type)
    as_json = content_type.startswith("application/json")
    actual = json.loads(answer.body) if as_json else kubernetes_proto.decode(answer.body)
    if "apidiscovery" not in content_type:
        assert actual["kind"] == "APIGroupList"
        return
    version = "v2beta1" if "v2beta1" in content_type else "v2"
    assert actual["apiVersion"] == f"apidiscovery.k8s.io/{version}"
    assert actual["kind"] == "APIGroupDiscoveryList"
    (group,) = actual["items"]
    assert group["metadata"]["name"] == "metrics.k8s.io"
    for served, name in zip(group["versions"], ("v1", "v1beta1"), strict=True):
        assert (served["version"], served["freshness"]) == (name, "Current")
        scopes = {each["resource"]: each["scope"] for each in served["resources"]}
        assert scopes == {"nodes": "Cluster", "pods": "Namespaced"}


def test_a_version_of_aggregated_discovery_that_is_not_known_is_not_acceptable(cluster):
    assert cluster.get("/apis", accept=UNKNOWN).status == 406


def test_each_version_of_aggregated_discovery_has_its_own_etag(cluster):
    tags = {accept: cluster.get("/apis", accept=accept).headers["etag"] for accept in (V2, V2BETA1)}
    assert tags[V2] != tags[V2BETA1]
    for accept, tag in tags.items():
        again = cluster.get("/apis", accept=accept, if_none_match=f'"other", {tag}')
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
        (other,) = tags.keys() - {accept}
        assert cluster.get("/apis", accept=accept, if_none_match=tags[other]).status == 200


def recorded_discovery():
    lines = (RECORDED / "aggregator-requests.jsonl").read_text().splitlines()
    requests = [json.loads(line) for line in lines]
    return [request for request in requests if request["path"] == "/apis"]


@pytest.mark.parametrize("request_", recorded_discovery(), ids=lambda each: each["path"])
@pytest.mark.parametrize("version", ["v2", "v2beta1"])
def test_the_aggregators_own_request(cluster, request_, version):
    """As recorded of 1.36, and without v2, which 1.27 to 1.29 do not know."""
    headers = {name.replace("-", "_"): value for name, value in request_["headers"].items()}
    if version == "v2beta1":
        clauses = headers["Accept"].split(",")
        headers["Accept"] = ",".join(clause for clause in clauses if ";v=v2;" not in clause)
    answer = cluster.get("/apis", **headers)
    actual = json.loads(answer.body)
    assert answer.status == 200
    assert answer.headers["content-type"].endswith(f";v={version};as=APIGroupDiscoveryList")
    assert actual["apiVersion"] == f"apidiscovery.k8s.io/{version}"
    known = {**headers, "If_None_Match": answer.headers["etag"]}
    assert cluster.get("/apis", **known).status == 304


@pytest.mark.parametrize("path", ["/apis", "/apis/metrics.k8s.io", "/apis/metrics.k8s.io/v1beta1"])
def test_protobuf_discovery_says_what_json_says(cluster, path):
    decoded = kubernetes_proto.decode(cluster.get(path, accept=PROTOBUF).body)
    plain = json.loads(cluster.get(path).body)
    assert decoded["kind"] == plain["kind"]
    if "resources" in plain:
        names = [each["name"] for each in decoded["resources"]]
        assert names == [each["name"] for each in plain["resources"]]
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
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

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
