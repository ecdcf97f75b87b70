"""Lists and watches, decoded: one odd object costs itself, and any bytes are one kind of error."""

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metricsapi.kube.errors import ApiError, Gone, InvalidResponse, KubeError
from metricsapi.kube.pods import decode_pod_row
from metricsapi.kube.watch import NODES, RUNNING_PODS, configmap, decode_event, decode_page

RESOURCES = [NODES, RUNNING_PODS, configmap("kube-system", "x")]
ODD = [
    {},
    {"metadata": None},
    {"metadata": {}},
    {"metadata": {"name": ""}},
    {"metadata": {"name": None}},
    {"metadata": {"name": 5}},
    {"metadata": {"name": "a", "labels": {"b": 1}}},
    {"metadata": {"name": "a", "labels": []}},
    [],
    "text",
    None,
    5,
]


def page(*items, **metadata):
    return json.dumps({"metadata": metadata, "items": items}).encode()


def event(kind, thing):
    return json.dumps({"type": kind, "object": thing}).encode()


@pytest.mark.parametrize("odd", ODD, ids=map(repr, ODD))
def test_an_object_that_cannot_be_used_is_skipped(odd):
    good = {"metadata": {"name": "good", "namespace": "n"}}
    for resource in (NODES, RUNNING_PODS):
        decoded = decode_page(resource, page(good, odd, resourceVersion="7"))
        assert [item.name for item in decoded.items] == ["good"]
        assert (decoded.skipped, decoded.resource_version) == (1, "7")
        assert decode_event(resource, event("ADDED", odd)).object is None


COLUMNS = ["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node",
           "Readiness Gates"]  # fmt: skip


def row(name="p", ready="1/1", node="n1", gates="<none>", labels=None):
    cells = [name, ready, "Running", "0", "5s", "10.0.0.1", node, "<none>", gates]
    metadata = {"name": name, "namespace": "ns", "uid": "u", "labels": labels}
    return {"cells": cells, "object": {"kind": "PartialObjectMetadata", "metadata": metadata}}


def table(*rows, columns=COLUMNS, **metadata):
    definitions = columns and [{"name": name, "priority": 1} for name in columns]
    metadata = {"metadata": metadata, "columnDefinitions": definitions}
    return {"kind": "Table", "rows": list(rows), **metadata}


def pod_of(thing, columns=()):
    return decode_event(RUNNING_PODS, event("MODIFIED", thing), columns).object


def test_a_row_of_a_table_has_node_and_readiness_beside_the_metadata():
    received = event("ADDED", table(row(labels={"app": "a"}), resourceVersion="7"))
    decoded = decode_event(RUNNING_PODS, received)
    pod = decoded.object
    assert pod.key == ("ns", "p")
    assert (pod.labels, pod.uid, pod.node, pod.ready) == ({"app": "a"}, "u", "n1", True)
    assert decoded.resource_version == "7"


@pytest.mark.parametrize(
    ("ready", "gates", "is_ready"),
    [
        ("1/1", "<none>", True),
        ("12/12", "2/2", True),
        ("0/1", "<none>", False),
        ("1/2", "<none>", False),
        ("1/1", "0/1", False),
        ("0/0", "<none>", False),
        ("", "<none>", False),
        ("/", "<none>", False),
        ("1", "<none>", False),
        (None, "<none>", False),
        (1, "<none>", False),
        ("1/1", None, False),
    ],
)
def test_a_pod_is_ready_with_all_of_its_containers_and_gates(ready, gates, is_ready):
    assert pod_of(table(row(ready=ready, gates=gates))).ready is is_ready


@pytest.mark.parametrize("node", ["<none>", "", None, 5, []])
def test_a_node_that_no_cell_names_is_not_known(node):
    assert pod_of(table(row(node=node))).node == ""


def test_columns_are_known_by_name_and_may_be_others_or_none():
    other = {**row(), "cells": ["n1", "2/2"]}
    pod = pod_of(table(other, columns=["Node", "Ready"]))
    assert (pod.node, pod.ready) == ("n1", True)
    for columns in (None, [], ["Name"], [*COLUMNS[:6], "Host"]):
        pod = pod_of(table(row(), columns=columns))
        assert (pod.name, pod.node) == ("p", "")
    for cells in (None, [], ["p"]):
        pod = pod_of(table({**row(), "cells": cells}))
        assert (pod.name, pod.node, pod.ready) == ("p", "", False)


@pytest.mark.parametrize("odd", [{}, {"object": None}, {"cells": 5}, [], None, "text"])
def test_a_row_that_cannot_be_used_is_no_object_and_still_has_a_version(odd):
    decoded = decode_event(RUNNING_PODS, event("ADDED", table(odd, resourceVersion="9")))
    assert (decoded.object, decoded.resource_version) == (None, "9")


@pytest.mark.parametrize("kind", ["ADDED", "BOOKMARK"])
def test_only_the_first_event_of_a_watch_names_the_columns(kind):
    first = decode_event(RUNNING_PODS, event(kind, table(row(""), resourceVersion="11")))
    later = event("MODIFIED", table(row(), columns=None, resourceVersion="12"))
    second = decode_event(RUNNING_PODS, later, first.columns)
    assert (second.object.node, second.object.ready) == ("n1", True)
    assert (second.resource_version, second.columns) == ("12", COLUMNS)


def test_a_bookmark_that_is_a_table_has_a_version_and_no_object():
    for rows in ([], [row("")], None):
        received = {**table(resourceVersion="9"), "rows": rows}
        bookmark = decode_event(RUNNING_PODS, event("BOOKMARK", received))
        assert (bookmark.object, bookmark.resource_version) == (None, "9")


def test_an_event_without_a_row_is_of_an_object_that_cannot_be_used():
    assert pod_of(table(resourceVersion="9")) is None


def test_an_api_server_without_tables_sends_metadata():
    metadata = {"name": "p", "namespace": "ns", "uid": "u", "resourceVersion": "12"}
    (listed,) = decode_page(RUNNING_PODS, page({"metadata": metadata})).items
    received = decode_event(RUNNING_PODS, event("ADDED", {"metadata": metadata}))
    assert received.object == listed
    assert (listed.key, listed.node, listed.ready) == (("ns", "p"), "", False)
    assert received.resource_version == "12"


@pytest.mark.parametrize("odd", [{}, {"metadata": None}, {"metadata": {}}])
def test_a_bookmark_without_a_version_is_one_without_a_version(odd):
    assert decode_event(NODES, event("BOOKMARK", odd)).resource_version == ""


def test_an_object_that_cannot_be_used_still_has_the_version_to_resume_from():
    thing = {"metadata": {"name": 5, "resourceVersion": "42"}}
    assert decode_event(NODES, event("MODIFIED", thing)).resource_version == "42"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"items":[]}', b"null", b"[" * 9999]
)
def test_what_is_no_list_is_an_error_that_quotes_it(body):
    with pytest.raises(InvalidResponse, match=r"the list of nodes: .*; the answer begins with"):
        decode_page(NODES, body)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ({"code": 410, "message": "too old"}, Gone),
        ({"code": 500, "reason": "Expired"}, Gone),
        ({"code": 403, "message": "no"}, ApiError),
        ({"code": "410"}, ApiError),
        ({}, ApiError),
        ("text", ApiError),
        (None, ApiError),
    ],
)
def test_an_error_event_is_its_error(status, kind):
    with pytest.raises(kind):
        decode_event(NODES, event("ERROR", status))


@pytest.mark.parametrize("name", ["", "a\x1b[31m", "a\nb", "A", "a_b", "a/b", "..", "x" * 254, "é"])
def test_a_node_with_a_name_that_no_node_can_have_cannot_be_used(name):
    """It would be a label of metrics and a part of paths."""
    assert NODES.decode(json.dumps({"metadata": {"name": name}}).encode()) is None


@pytest.mark.parametrize("port", [0, -1, 65536, 10**30, "10250", 1.5, None])
def test_a_port_that_is_none_is_not_known(port):
    status = {"daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}
    node = NODES.decode(json.dumps({"metadata": {"name": "a"}, "status": status}).encode())
    assert node is None or node.kubelet_port is None


@pytest.mark.parametrize("amount", ["9" * 5000, "1e999", "-1e999", "1" + "0" * 63, "", "x"])
def test_an_amount_that_no_machine_has_is_not_known(amount):
    status = {"allocatable": {"cpu": amount, "memory": amount}}
    node = NODES.decode(json.dumps({"metadata": {"name": "a"}, "status": status}).encode())
    assert (node.cpu, node.memory) == (None, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "name", "namespace", "labels", "items", "type", "object", "status",
                 "resourceVersion", "continue", "code", "reason", "message", "addresses", "data",
                 "rows", "cells", "columnDefinitions"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)  # fmt: skip
BYTES = st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode())


@given(st.sampled_from(RESOURCES), BYTES)
@example(NODES, b'{"metadata":{},"items":[{"metadata":{"name":"\xff"}}]}')
@example(NODES, b'{"type":"ADDED","object":' + b"[" * 5000 + b"]" * 5000 + b"}")
def test_any_bytes_are_a_page_and_an_event_or_an_error_of_kube(resource, data):
    for decode in (decode_page, decode_event):
        with contextlib.suppress(KubeError):
            decode(resource, data)


@given(BYTES)
def test_any_object_is_a_node_and_a_pod_or_none(data):
    node = NODES.decode(data)
    assert node is None or node.name
    for pod in (RUNNING_PODS.decode(data), decode_pod_row(data, COLUMNS)):
        assert pod is None or (pod.name and pod.namespace)
