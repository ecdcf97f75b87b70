"""Selectors, paging, options and what is refused, with the words of a Kubernetes API server."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.cluster import recorded
from tests.support import kubernetes_proto

ROOT = "/apis/metrics.k8s.io/v1beta1"


@pytest.fixture(scope="module")
def cluster():
    return recorded()


CLUSTER = recorded()


def pods(cluster, query, path="/pods"):
    answer = cluster.get(f"{ROOT}{path}?{query}")
    assert answer.status == 200, answer.body
    return [item["metadata"]["name"] for item in json.loads(answer.body)["items"]]


def labels(selector):
    return f"labelSelector={quote(selector)}"


VALUES = st.sampled_from([f"app-{p}" for p in range(30)] + ["none"])
TIERS = st.sampled_from(["0", "1", "2", "9"])


@st.composite
def requirements(draw):
    """Return (text, predicate) of one requirement."""
    key, values = draw(st.sampled_from([("app", VALUES), ("tier", TIERS), ("absent", VALUES)]))
    some = draw(st.lists(values, min_size=1, max_size=3, unique=True))
    value = some[0]
    listed = ", ".join(some)
    return draw(
        st.sampled_from(
            [
                (f"{key}={value}", lambda found: found.get(key) == value),
                (f"{key} == {value}", lambda found: found.get(key) == value),
                (f"{key}!={value}", lambda found: found.get(key) != value),
                (f"{key} in ({listed})", lambda found: found.get(key) in some),
                (f"{key} notin ({listed})", lambda found: found.get(key) not in some),
                (key, lambda found: key in found),
                (f"!{key}", lambda found: key not in found),
            ]
        )
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(requirements(), min_size=1, max_size=3))
def test_label_selectors_select_as_written(wanted):
    selector = ",".join(text for text, _ in wanted)
    expected = [
        key
        for key, pod in sorted(CLUSTER.pods.objects.items())
        if all(predicate(pod.labels) for _, predicate in wanted)
    ]
    items = json.loads(CLUSTER.get(f"{ROOT}/pods?{labels(selector)}").body)["items"]
    found = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in items]
    assert found == expected


@pytest.mark.parametrize(
    "selector",
    [
        "a===b",
        "a in",
        "a in (b",
        "a notin b",
        "-a=b",
        "a=b=c",
        "a=" + "x" * 64,
        "a/b/c=d",
        ",,",
        "!",
    ],
)
def test_selectors_that_do_not_parse_are_refused_with_the_reason(cluster, selector):
    answer = cluster.get(f"{ROOT}/pods?{labels(selector)}")
    assert (answer.status, json.loads(answer.body)["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("field", "count"),
    [
        ("metadata.name=app-7-3", 1),
        ("metadata.namespace=ns-3", 300),
        ("metadata.namespace=ns-3,metadata.name=app-7-3", 1),
        ("metadata.name!=app-7-3", 2999),
        ("spec.nodeName=node-7", 30),
        ("spec.nodeName=node-7,metadata.namespace=ns-3", 3),
        ("spec.nodeName=absent", 0),
    ],
)
def test_field_selectors(cluster, field, count):
    assert len(pods(cluster, f"fieldSelector={quote(field)}")) == count


@pytest.mark.parametrize("resource", ["nodes", "pods"])
def test_unknown_fields_are_named(cluster, resource):
    answer = cluster.get(f"{ROOT}/{resource}?fieldSelector=status.phase%3DRunning")
    assert answer.status == 400
    assert "status.phase" in json.loads(answer.body)["message"]


@pytest.mark.parametrize("limit", [1, 500, 2999, 3000, 10_000])
@pytest.mark.parametrize("accept", ["application/json", "application/vnd.kubernetes.protobuf"])
def test_pages_add_up_to_the_whole(cluster, limit, accept):
    if limit == 1:
        path, whole = "/nodes", pods(cluster, "", "/nodes")
    else:
        path, whole = "/pods", pods(cluster, "")
    found, token = [], ""
    while True:
        body = cluster.get(
            f"{ROOT}{path}?limit={limit}&continue={quote(token)}", accept=accept
        ).body
        page = (
            json.loads(body)
            if accept.endswith("json")
            else kubernetes_proto.as_json(kubernetes_proto.decode(body))
        )
        assert len(page["items"]) <= limit
        found += [item["metadata"]["name"] for item in page["items"]]
        metadata = page.get("metadata", {})
        token = metadata.get("continue", "")
        assert int(metadata.get("remainingItemCount", 0)) == len(whole) - len(found)
        if not token:
            break
    assert found == whole


def test_a_page_goes_on_where_it_ended_though_objects_came_and_went():
    cluster = recorded()
    first = json.loads(cluster.get(f"{ROOT}/nodes?limit=10").body)
    last = first["items"][-1]["metadata"]["name"]
    cluster.nodes.delete(last)
    rest = pods(cluster, f"limit=500&continue={first['metadata']['continue']}", "/nodes")
    assert rest == sorted(name for name in cluster.nodes.objects if name > last)


@pytest.mark.parametrize("token", ["nonsense", "e30", "W10", "WzEsMl0"])
def test_a_token_that_is_not_ours_is_refused(cluster, token):
    assert cluster.get(f"{ROOT}/nodes?limit=1&continue={token}").status == 400


@pytest.mark.parametrize(
    "query", ["limit=x", "timeoutSeconds=soon", "resourceVersion=abc", "limit=1.5"]
)
def test_values_that_do_not_parse_are_refused(cluster, query):
    answer = cluster.get(f"{ROOT}/nodes?{query}")
    assert (answer.status, json.loads(answer.body)["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize("query", ["resourceVersion=0", "timeoutSeconds=5", "resourceVersion="])
def test_values_that_parse_are_accepted(cluster, query):
    assert len(pods(cluster, query, "/nodes")) == 100


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/nodes", "/nodes/node-3", "/namespaces/ns-3/pods/app-7-3"])
def test_nothing_can_be_written(cluster, method, path):
    answer = cluster.get(ROOT + path, method=method)
    status = json.loads(answer.body)
    assert (answer.status, status["kind"], status["reason"]) == (405, "Status", "MethodNotAllowed")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_pages_of_the_framework_are_off(cluster, path):
    assert cluster.get(path).status == 404
