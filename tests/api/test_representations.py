"""JSON, protobuf, YAML, Table and metadata alone: the same facts, read by independent decoders."""

from __future__ import annotations

import asyncio
import gzip
import json
from datetime import UTC, datetime

import pytest
import yaml

from metricsapi.api.render.frame import Frame
from metricsapi.api.streaming import COMPRESS_FROM, send_framed
from metricsapi.kube.resources import Node, Pod
from metricsapi.storage.types import ContainerUsage, NodeUsage, PodUsage
from tests.api.cluster import AT, Cluster, recorded
from tests.support import kubernetes_proto

PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
RFC3339 = "%Y-%m-%dT%H:%M:%SZ"
ROOTS = ["/apis/metrics.k8s.io/v1beta1", "/apis/metrics.k8s.io/v1"]
TARGETS = [
    "/nodes",
    "/nodes/node-7",
    "/pods?limit=7",
    "/namespaces/ns-3/pods?labelSelector=app%3Dapp-3",
    "/namespaces/ns-3/pods/app-7-3",
    "/namespaces/absent/pods",
    "/nodes?labelSelector=zone%3Dnone",
]


@pytest.fixture(scope="module")
def cluster():
    return recorded()


def seconds(value):
    """Put protobuf's times and windows into JSON's words."""
    if isinstance(value, list):
        return [seconds(part) for part in value]
    if not isinstance(value, dict):
        return value
    actual = {}
    for name, part in value.items():
        if name in ("timestamp", "creationTimestamp"):
            assert part.get("nanos", 0) == 0
            actual[name] = datetime.fromtimestamp(int(part["seconds"]), UTC).strftime(RFC3339)
        elif name == "generation":  # written though it is 0, as the reference does
            assert part == "0"
        elif name == "window":
            actual[name] = f"{int(part['duration']) / 1e9:g}s"
        elif name == "remainingItemCount":
            actual[name] = int(part)
        else:
            actual[name] = seconds(part)
    return actual


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("target", TARGETS)
def test_protobuf_says_what_json_says(cluster, root, target):
    as_json = json.loads(cluster.get(root + target).body)
    answer = cluster.get(root + target, accept=f"{PROTOBUF}, */*")
    assert answer.headers["content-type"] == PROTOBUF
    decoded = seconds(kubernetes_proto.as_json(kubernetes_proto.decode(answer.body)))
    if as_json.get("items") == []:
        as_json.pop("items")
    decoded.setdefault("metadata", {})
    assert decoded == as_json


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("target", TARGETS)
def test_yaml_and_pretty_json_say_what_json_says(cluster, root, target):
    plain = cluster.get(root + target).body
    body = cluster.get(root + target, accept="application/yaml").body
    assert yaml.load(body, yaml.BaseLoader) == yaml.load(plain, yaml.BaseLoader)  # noqa: S506
    pretty = cluster.get(f"{root}{target}{'&' if '?' in target else '?'}pretty=true").body
    assert pretty.startswith(b"{\n  ")
    assert json.loads(pretty) == json.loads(plain)


@pytest.mark.parametrize("root", ROOTS)
def test_a_table_sums_the_containers(cluster, root):
    table = json.loads(cluster.get(f"{root}/namespaces/ns-3/pods/app-7-3", accept=TABLE).body)
    usage = cluster.usages.pods["ns-3", "app-7-3"]
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    (row,) = table["rows"]
    cpu, memory = (sum(getattr(c, what) for c in usage.containers) for what in ("cpu", "memory"))
    assert row["cells"] == ["app-7-3", f"{cpu}n", f"{memory // 1024}Ki", "15s"]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"]["labels"] == {"app": "app-3", "tier": "0"}


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [("None", None), ("Metadata", "PartialObjectMetadata"), ("Object", "NodeMetrics")],
)
def test_a_table_carries_as_much_of_the_object_as_is_asked_for(cluster, wanted, kind):
    target = f"{ROOTS[0]}/nodes/node-3?includeObject={wanted}"
    (row,) = json.loads(cluster.get(target, accept=TABLE).body)["rows"]
    assert (row.get("object") or {}).get("kind") == kind


def test_an_unknown_includeobject_is_refused(cluster):
    answer = cluster.get(f"{ROOTS[0]}/nodes/node-3?includeObject=Everything", accept=TABLE)
    assert answer.status == 400


def test_metadata_alone(cluster):
    part = json.loads(cluster.get(f"{ROOTS[0]}/nodes/node-3", accept=PARTIAL).body)
    assert part.keys() == {"kind", "apiVersion", "metadata"}
    many = json.loads(cluster.get(f"{ROOTS[0]}/nodes", accept=PARTIAL_LIST).body)
    assert many["kind"] == "PartialObjectMetadataList"
    assert {item["metadata"]["name"] for item in many["items"]} == set(cluster.usages.nodes)
    proto = cluster.get(
        f"{ROOTS[0]}/nodes/node-3", accept=PARTIAL.replace("application/json", PROTOBUF)
    )
    assert kubernetes_proto.decode(proto.body)["metadata"]["name"] == "node-3"


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        (f"{PROTOBUF}, */*", PROTOBUF),
        (f"application/json;q=0.5, {PROTOBUF};q=0.9", PROTOBUF),
        ("application/yaml;q=0.9, application/json;q=0.8", "application/yaml"),
        ("text/html, application/json;q=0.1", "application/json"),
        (f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io, application/json", "application/json"),
        ("application/json;as=Table;v=v9;g=meta.k8s.io, application/yaml", "application/yaml"),
        ("application/json;charset=utf-8", "application/json"),
    ],
)
def test_accept_is_read_with_weights_parameters_and_stars(cluster, accept, given):
    answer = cluster.get(f"{ROOTS[0]}/nodes/node-3", accept=accept)
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, given)


@pytest.mark.parametrize(
    "accept", ["text/html", "image/*", f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io"]
)
def test_what_cannot_be_given_is_not_acceptable(cluster, accept):
    answer = cluster.get(f"{ROOTS[0]}/nodes/node-3", accept=accept)
    status = json.loads(answer.body)
    assert (answer.status, status["code"]) == (406, 406)
    assert "Available representations: application/json" in status["message"]


def test_a_refusal_is_protobuf_too_where_that_is_asked_for(cluster):
    answer = cluster.get(f"{ROOTS[0]}/nodes/absent", accept=PROTOBUF)
    status = kubernetes_proto.decode(answer.body)
    assert (status["kind"], status["reason"], status["code"]) == ("Status", "NotFound", 404)


def test_large_answers_are_compressed_and_small_ones_are_not(cluster):
    large = cluster.get(f"{ROOTS[0]}/pods", accept_encoding="gzip")
    assert large.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(large.body)) == json.loads(
        cluster.get(f"{ROOTS[0]}/pods").body
    )
    small = cluster.get(f"{ROOTS[0]}/nodes", accept_encoding="gzip")
    assert "content-encoding" not in small.headers
    assert len(small.body) < 128 * 1024 < len(gzip.decompress(large.body))


def test_swap_is_shown_where_there_is_some_and_nothing_changes_elsewhere():
    cluster = Cluster()
    usage = NodeUsage("with", AT, 15.0, 10**9, 2**30, 2**24)
    cluster.add(Node("with", {}, {}, (), 10250, ready=True), usage)
    cluster.add(
        Node("without", {}, {}, (), 10250, ready=True), NodeUsage("without", AT, 15.0, 10**9, 2**30)
    )
    containers = (ContainerUsage("c", 10**6, 2**20, 0),)
    cluster.add(Pod("ns", "pod", {}), PodUsage("ns", "pod", "with", AT, 15.0, containers))
    first, second = json.loads(cluster.get(f"{ROOTS[0]}/nodes").body)["items"]
    assert first["usage"] == {"cpu": "1", "memory": "1Gi", "swap": "16Mi"}
    assert second["usage"] == {"cpu": "1", "memory": "1Gi"}
    (pod,) = json.loads(cluster.get(f"{ROOTS[0]}/pods").body)["items"]
    assert pod["containers"][0]["usage"]["swap"] == "0"
    decoded = kubernetes_proto.decode(cluster.get(f"{ROOTS[0]}/nodes", accept=PROTOBUF).body)
    assert kubernetes_proto.as_json(decoded)["items"][0]["usage"]["swap"] == "16Mi"


@pytest.mark.parametrize(
    ("most", "memory"),
    [(2**63 - 1, "9223372036854775807"), (2**63, "8Ei"), (2**64 - 1, "18446744073709551615")],
)
def test_the_largest_values_are_exact(most, memory):
    cluster = Cluster()
    cluster.add(Node("n", {}, {}, (), 10250, ready=True), NodeUsage("n", AT, 15.0, most, most))
    usage = json.loads(cluster.get(f"{ROOTS[0]}/nodes/n").body)["usage"]
    assert usage == {"cpu": f"{most}n", "memory": memory}


def test_an_item_is_dated_by_its_sample():
    """Not by the answer, as the reference has it, so that one encoding serves until the next."""
    cluster = Cluster()
    cluster.add(
        Node("n", {}, {}, (), 10250, ready=True), NodeUsage("n", AT - 7, 14.968, 10**9, 2**30)
    )
    node = json.loads(cluster.get(f"{ROOTS[0]}/nodes/n").body)
    assert node["metadata"]["creationTimestamp"] == node["timestamp"] == "2026-11-23T09:03:53Z"
    assert node["window"] == "14.968s"


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_body_is_what_its_headers_say_it_is_around_the_size_from_which_it_is_compressed(more):
    """A body of exactly 128 KiB was called gzip and sent plain."""
    padding = COMPRESS_FROM + more

    async def sent():
        messages = []

        async def send(message):
            messages.append(message)

        frame = Frame(b"x" * padding, b"", b"")
        await send_framed(send, "text/plain", frame, gzip=True)
        return messages

    start, *rest = asyncio.run(sent())
    headers = dict(start["headers"])
    body = b"".join(message.get("body", b"") for message in rest)
    assert (b"content-encoding" in headers) is (more >= 0)
    if b"content-encoding" in headers:
        assert b"content-length" not in headers
        body = gzip.decompress(body)
    else:
        assert int(headers[b"content-length"]) == len(body)
    assert body == b"x" * padding
