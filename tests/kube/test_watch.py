"""Lists and watches, decoded: one odd object costs itself, and any bytes are one kind of error."""

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metricsapi.kube.errors import ApiError, Gone, InvalidResponse, KubeError
from metricsapi.kube.watch import (
    NODES,
    RUNNING_PODS,
    configmap,
    decode_event,
    decode_node,
    decode_page,
    decode_pod,
)

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
def test_an_object_that_cannot_be_used_costs_itself(odd):
    good = {"metadata": {"name": "good", "namespace": "n"}}
    for resource in (NODES, RUNNING_PODS):
        decoded = decode_page(resource, page(good, odd, resourceVersion="7"))
        assert [item.name for item in decoded.items] == ["good"]
        assert (decoded.skipped, decoded.resource_version) == (1, "7")
        assert decode_event(resource, event("ADDED", odd)).object is None


@pytest.mark.parametrize("odd", [{}, {"metadata": None}, {"metadata": {}}])
def test_a_bookmark_without_a_version_is_one_without_a_version(odd):
    assert decode_event(NODES, event("BOOKMARK", odd)).resource_version == ""


def test_an_object_that_cannot_be_used_still_tells_the_version_to_resume_from():
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


@pytest.mark.parametrize("port", [0, -1, 65536, 10**30, "10250", 1.5, None])
def test_a_port_that_is_none_is_not_known(port):
    status = {"daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}
    node = decode_node(json.dumps({"metadata": {"name": "a"}, "status": status}).encode())
    assert node is None or node.kubelet_port is None


@pytest.mark.parametrize("amount", ["9" * 5000, "1e999", "-1e999", "1" + "0" * 63, "", "x"])
def test_an_amount_that_no_machine_has_is_not_known(amount):
    status = {"allocatable": {"cpu": amount, "memory": amount}}
    node = decode_node(json.dumps({"metadata": {"name": "a"}, "status": status}).encode())
    assert (node.cpu, node.memory) == (None, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "name", "namespace", "labels", "items", "type", "object", "status",
                 "resourceVersion", "continue", "code", "reason", "message", "addresses", "data"]
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
    node, pod = decode_node(data), decode_pod(data)
    assert node is None or node.name
    assert pod is None or (pod.name and pod.namespace)
