"""Lists and single objects, by path."""

from __future__ import annotations

import json

import pytest

from tests.api.cluster import Cluster, recorded

V1BETA1, V1 = "/apis/metrics.k8s.io/v1beta1", "/apis/metrics.k8s.io/v1"


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return recorded()


def names(body: bytes) -> list[str]:
    return [item["metadata"]["name"] for item in json.loads(body)["items"]]


@pytest.mark.parametrize("root", [V1BETA1, V1])
def test_all_nodes_are_listed_by_name(cluster, root):
    answer = cluster.get(f"{root}/nodes")
    assert answer.status == 200
    assert names(answer.body) == sorted(f"node-{i}" for i in range(100))
    assert json.loads(answer.body)["apiVersion"] == root.removeprefix("/apis/")


def test_all_pods_are_listed_by_namespace_then_name(cluster):
    items = json.loads(cluster.get(f"{V1BETA1}/pods").body)["items"]
    keys = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in items]
    assert len(keys) == 3000
    assert keys == sorted(keys)


def test_one_namespace_has_its_own_pods(cluster):
    body = cluster.get(f"{V1BETA1}/namespaces/ns-3/pods").body
    assert names(body) == sorted(f"app-{i}-{p}" for i in range(100) for p in (3, 13, 23))


@pytest.mark.parametrize("word", ["namespaces", "namespace"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_one_pod(cluster, word, slash):
    answer = cluster.get(f"{V1BETA1}/{word}/ns-3/pods/app-7-3{slash}")
    pod = json.loads(answer.body)
    assert (pod["kind"], pod["metadata"]["name"]) == ("PodMetrics", "app-7-3")
    assert [each["name"] for each in pod["containers"]] == ["c0", "c1"]


@pytest.mark.parametrize(
    "path",
    [
        "/pods/app-7-3",
        "/namespaces/ns-3/nodes",
        "/namespaces/ns-3",
        "/nodes/node-1/stats",
        "/namespaces/ns-3/pods/app-7-3/log",
        "/gizmos",
    ],
)
def test_unknown_paths_are_not_found(cluster, path):
    answer = cluster.get(V1BETA1 + path)
    assert (answer.status, json.loads(answer.body)["reason"]) == (404, "NotFound")
    assert cluster.get("/apis/metrics.k8s.io/v2/nodes").status == 404


def test_a_node_without_usage_is_not_there():
    cluster = recorded()
    del cluster.usages.nodes["node-7"]
    status = json.loads(cluster.get(f"{V1BETA1}/nodes/node-7").body)
    assert status["message"] == 'nodes.metrics.k8s.io "node-7" not found'
    assert "node-7" not in names(cluster.get(f"{V1BETA1}/nodes").body)


def test_a_pod_that_is_gone_from_the_api_server_is_not_served():
    cluster = recorded()
    cluster.pods.delete(("ns-3", "app-7-3"))
    assert cluster.get(f"{V1BETA1}/namespaces/ns-3/pods/app-7-3").status == 404
    assert "app-7-3" not in names(cluster.get(f"{V1BETA1}/namespaces/ns-3/pods").body)


def test_nothing_is_an_empty_list():
    empty = Cluster()
    assert names(empty.get(f"{V1}/pods").body) == []
    assert names(empty.get(f"{V1}/namespaces/absent/pods").body) == []


def test_head_and_writes_are_not_allowed(cluster):
    for method in ("HEAD", "POST", "OPTIONS"):
        assert cluster.get(f"{V1BETA1}/nodes", method=method).status == 405
