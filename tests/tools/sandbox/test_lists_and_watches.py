"""Lists and watches of the stand-in API server, as kube-apiserver answers them."""

import asyncio
import json

import pytest

from tests.tools.sandbox.apiservers import node, pod

PARTIAL = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
PARTIAL_LIST = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}


def names(answer):
    return [item["metadata"]["name"] for item in answer.json()["items"]]


async def watched(http, path, count, accept=None, **params):
    """The first lines of a watch, each as (type, object); all of them when it ends before."""
    actual = []
    async with (
        asyncio.timeout(10),
        http.stream("GET", path, params={"watch": "true", **params}, headers=accept) as answer,
    ):
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            event = json.loads(line)
            actual.append((event["type"], event["object"]))
            if len(actual) == count:
                break
    return actual


async def test_pages_show_one_moment_though_it_changes_meanwhile(api, http):
    for number in range(5):
        api.cluster.apply("pods", pod("ns", f"p{number}"))
    first = await http.get("/api/v1/pods?limit=2")
    metadata = first.json()["metadata"]
    assert metadata["remainingItemCount"] == 3
    api.cluster.delete("pods", "p3", "ns")
    api.cluster.apply("pods", pod("ns", "p2a"))
    actual, token = names(first), metadata["continue"]
    while token:
        page = await http.get("/api/v1/pods", params={"limit": 2, "continue": token})
        assert page.json()["metadata"]["resourceVersion"] == metadata["resourceVersion"]
        actual += names(page)
        token = page.json()["metadata"].get("continue")
    assert actual == ["p0", "p1", "p2", "p3", "p4"]
    assert names(await http.get("/api/v1/pods")) == ["p0", "p1", "p2", "p2a", "p4"]
    again = await http.get("/api/v1/pods", params={"continue": "bm9uZQ"})
    assert (again.status_code, again.json()["reason"]) == (410, "Expired")


@pytest.mark.parametrize(
    ("selectors", "actual"),
    [
        ({"fieldSelector": "status.phase=Running"}, ["a", "b"]),
        ({"fieldSelector": "status.phase!=Running,spec.nodeName=n2"}, ["c"]),
        ({"fieldSelector": "metadata.name=b"}, ["b"]),
        ({"fieldSelector": "metadata.namespace==ns-2"}, ["c"]),
        ({"labelSelector": "app=web"}, ["a", "b"]),
        ({"labelSelector": "app in (web, db),tier"}, ["a"]),
        ({"labelSelector": "!tier,app notin (web)"}, ["c"]),
        ({"labelSelector": "app!=web", "fieldSelector": "spec.nodeName=n2"}, ["c"]),
    ],
)
async def test_selectors(api, http, selectors, actual):
    api.cluster.apply("pods", pod("ns-1", "a", node="n1", app="web", tier="1"))
    api.cluster.apply("pods", pod("ns-1", "b", node="n2", app="web"))
    api.cluster.apply("pods", pod("ns-2", "c", "Pending", node="n2", app="db"))
    assert names(await http.get("/api/v1/pods", params=selectors)) == actual


@pytest.mark.parametrize(
    "selectors",
    [
        {"fieldSelector": "spec.replicas=1"},
        {"fieldSelector": "name"},
        {"labelSelector": "a b"},
        {"limit": "many"},
    ],
)
async def test_what_cannot_be_selected_by_is_a_bad_request(http, selectors):
    answer = await http.get("/api/v1/pods", params=selectors)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


async def test_a_namespace_holds_its_own_and_is_no_prefix_of_another(api, http):
    for namespace in ("ns", "ns-1", "n"):
        api.cluster.apply("pods", pod(namespace, "p"))
    answer = (await http.get("/api/v1/namespaces/ns/pods")).json()
    assert [item["metadata"]["namespace"] for item in answer["items"]] == ["ns"]
    assert answer["kind"] == "PodList"


async def test_metadata_alone_in_lists_and_watches(api, http):
    made = api.cluster.apply("pods", pod("ns", "a", app="web"))
    listed = (await http.get("/api/v1/pods", headers=PARTIAL_LIST)).json()
    assert (listed["kind"], listed["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    whole = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    assert listed["items"] == [{**whole, "metadata": made["metadata"]}]
    events = await watched(
        http, "/api/v1/pods", 2, PARTIAL, allowWatchBookmarks="true", timeoutSeconds="1"
    )
    assert events[0] == ("ADDED", {**whole, "metadata": made["metadata"]})
    assert events[1][0] == "BOOKMARK"
    assert events[1][1].keys() == {"kind", "apiVersion", "metadata"}
    assert events[1][1]["kind"] == "PartialObjectMetadata"


async def test_a_list_is_no_object_and_an_event_is_no_list(api, http):
    """As kube-apiserver 1.36 answers; it ends such a watch without a word."""
    api.cluster.apply("pods", pod("ns", "a"))
    refused = await http.get("/api/v1/pods", headers=PARTIAL)
    assert refused.status_code == 406
    assert "requested object is a list" in refused.json()["message"]
    refused = await http.get("/api/v1/namespaces/ns/pods/a", headers=PARTIAL_LIST)
    assert refused.status_code == 406
    assert "is not a list" in refused.json()["message"]
    watch = await http.get("/api/v1/pods?watch=true&timeoutSeconds=30", headers=PARTIAL_LIST)
    assert (watch.status_code, watch.content) == (200, b"")


TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


async def test_a_table_of_one_row_for_each_event(api, http):
    """As kube-apiserver 1.36 sends them: only the first one has the columns."""
    path = "/api/v1/namespaces/ns/configmaps"
    configmap = api.cluster.apply("configmaps", {**pod("ns", "a"), "data": {"x": "1", "y": "2"}})
    listed = (await http.get(path, headers=TABLE)).json()
    first, last = await watched(
        http, path, 2, TABLE, allowWatchBookmarks="true", timeoutSeconds="1"
    )
    word, item = first
    assert (word, item["kind"]) == ("ADDED", "Table")
    assert item["columnDefinitions"] == listed["columnDefinitions"]
    assert item["metadata"]["resourceVersion"] == configmap["metadata"]["resourceVersion"]
    assert [row["cells"][:2] for row in item["rows"]] == [["a", "2"]]
    word, item = last
    assert (word, item["columnDefinitions"]) == ("BOOKMARK", None)
    assert item["metadata"] == {"resourceVersion": str(api.cluster.version)}


async def test_a_bookmark_that_comes_first_has_the_columns(api, http):
    api.resources.bookmark_every = 0.05
    where = {"resourceVersion": str(api.cluster.version), "allowWatchBookmarks": "true"}
    first, second = await watched(http, "/api/v1/pods", 2, TABLE, **where)
    assert [column["name"] for column in first[1]["columnDefinitions"]][:2] == ["Name", "Ready"]
    assert second[1]["columnDefinitions"] is None
    (row,) = first[1]["rows"]
    assert row["cells"][:2] == ["", "0/0"]
    assert row["object"]["metadata"] == {
        "resourceVersion": str(api.cluster.version),
        "creationTimestamp": None,
    }


async def test_the_rows_of_a_table_have_what_is_to_be_included(api, http):
    made = api.cluster.apply("pods", pod("ns", "a"))

    async def objects(path, include):
        answer = await http.get(f"{path}?includeObject={include}", headers=TABLE)
        return answer.status_code, [row["object"] for row in answer.json().get("rows", ())]

    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    partial["metadata"] = made["metadata"]
    for path in ("/api/v1/pods", "/api/v1/namespaces/ns/pods/a"):
        for include in ("", "Metadata"):
            assert await objects(path, include) == (200, [partial])
        assert await objects(path, "None") == (200, [None])
        assert await objects(path, "Object") == (200, [made])
        assert await objects(path, "All") == (400, [])
    refused = await http.get("/api/v1/pods?watch=true&includeObject=All", headers=TABLE)
    assert refused.status_code == 400
    assert (await http.get("/api/v1/pods?includeObject=All")).status_code == 200


async def test_a_table_of_pods_has_node_and_readiness(api, http):
    def set_status(**status):
        item = pod("ns", "a")
        spec = {
            "nodeName": "n1",
            "containers": [{"name": "x"}, {"name": "y"}],
            **status.pop("spec"),
        }
        api.cluster.apply("pods", {**item, "spec": spec, "status": {"phase": "Running", **status}})

    async def cells():
        listed = (await http.get("/api/v1/pods", headers=TABLE)).json()
        names = [column["name"] for column in listed["columnDefinitions"]]
        cells = dict(zip(names, listed["rows"][0]["cells"], strict=True))
        return [cells[name] for name in ("Node", "Ready", "Readiness Gates")]

    set_status(spec={})
    assert await cells() == ["n1", "2/2", "<none>"]
    set_status(spec={}, containerStatuses=[{"ready": True}, {"ready": False}])
    assert await cells() == ["n1", "1/2", "<none>"]
    gates = {"readinessGates": [{"conditionType": "lb"}, {"conditionType": "dns"}]}
    set_status(spec=gates, conditions=[{"type": "lb", "status": "True"}])
    assert await cells() == ["n1", "2/2", "1/2"]


async def test_a_watch_goes_on_from_a_version_and_sees_what_selectors_see(api, http):
    api.cluster.apply("pods", pod("ns", "a"))
    version = api.cluster.apply("pods", pod("ns", "b", "Pending"))["metadata"]["resourceVersion"]
    api.cluster.apply("pods", pod("ns", "b"))  # begins to match
    api.cluster.apply("pods", pod("ns", "a", x="1"))
    api.cluster.apply("pods", pod("ns", "a", "Succeeded"))  # matches no longer
    api.cluster.apply("pods", pod("ns", "a", "Failed"))
    api.cluster.delete("pods", "b", "ns")
    last = str(api.cluster.version)
    events = await watched(
        http,
        "/api/v1/pods",
        4,
        resourceVersion=version,
        fieldSelector="status.phase=Running",
    )
    assert [(word, item["metadata"]["name"]) for word, item in events] == [
        ("ADDED", "b"),
        ("MODIFIED", "a"),
        ("DELETED", "a"),
        ("DELETED", "b"),
    ]
    assert events[2][1]["metadata"]["labels"] == {"x": "1"}, "what it was when it matched"
    assert events[3][1]["metadata"]["resourceVersion"] == last


async def test_a_watch_from_nowhere_begins_with_what_is_there(api, http):
    api.cluster.apply("nodes", node("a"))
    events = await watched(http, "/api/v1/nodes", 1)
    assert [(word, item["metadata"]["name"]) for word, item in events] == [("ADDED", "a")]
    listed = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    events = await watched(http, "/api/v1/nodes", 2, allowWatchBookmarks="true", **listed)
    assert [word for word, _ in events] == ["ADDED", "BOOKMARK"]
    assert events[1][1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_bookmarks_come_only_when_asked_for_and_have_the_present_version(api, http):
    api.resources.bookmark_every = 0.05
    since = str(api.cluster.version)
    api.cluster.apply("pods", pod("ns", "a"))  # nothing for a watch of nodes
    where = {"resourceVersion": since, "timeoutSeconds": "1"}
    reported = await watched(http, "/api/v1/nodes", 2, allowWatchBookmarks="true", **where)
    assert [word for word, _ in reported] == ["BOOKMARK", "BOOKMARK"]
    assert reported[0][1]["metadata"]["resourceVersion"] == str(api.cluster.version)
    assert await watched(http, "/api/v1/nodes", 1, **where) == []


async def test_versions_that_are_too_old_or_not_yet_there_end_a_watch(api, http):
    old = api.cluster.apply("nodes", node("a"))["metadata"]["resourceVersion"]
    api.cluster.apply("nodes", node("b"))
    api.cluster.collections["nodes"].forget_changes()
    ((word, item),) = await watched(http, "/api/v1/nodes", 1, resourceVersion=old)
    assert (word, item["code"], item["reason"]) == ("ERROR", 410, "Expired")
    ((word, item),) = await watched(http, "/api/v1/nodes", 1, resourceVersion="99999")
    assert (word, item["code"], item["reason"]) == ("ERROR", 504, "Timeout")
    now = str(api.cluster.version)
    assert await watched(http, "/api/v1/nodes", 1, resourceVersion=now, timeoutSeconds="1") == []
