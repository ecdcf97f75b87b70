"""What is fuzzed: each target takes any bytes, and raises only for what must never be.

`seeds()` of a target gives bytes to begin with: recordings, and one of each form.
"""

import json
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import unquote_to_bytes

from metricsapi.api.render import json as render_json
from metricsapi.api.render import protobuf
from metricsapi.kube.errors import KubeError
from metricsapi.kube.field_selectors import parse_fields
from metricsapi.kube.pem import PEMError, parse_authorities, read_blocks, read_bundle
from metricsapi.kube.resources import Node, Pod
from metricsapi.kube.selector_parser import parse_labels
from metricsapi.kube.selectors import SelectorError
from metricsapi.kube.watch import NODES, RUNNING_PODS, decode_event, decode_page
from metricsapi.scrape.decoding import DecodeError
from metricsapi.server.http.request_target import BadTarget, resolve
from metricsapi.storage.store import MetricsStore
from metricsapi.storage.types import ContainerUsage, NodeUsage, PodUsage
from metricsapi.tools.sandbox.synthetic import synthetic_node
from metricsapi.tools.sandbox.template import SyntheticSource
from tests.support.decoding import decode_resource_metrics, decode_summary
from tests.support.kubernetes_proto import as_json, decode
from tests.support.paths import RECORDED
from tests.support.pki import Authority

NODE = "node-1"
WALL = 1_795_424_640.0  # epoch seconds at monotonic 0
MOST = 2**63 - 1  # what Kubernetes' quantities take


@dataclass(frozen=True)
class Target:
    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def _explained(error):
    """A refusal says what is wrong."""
    assert str(error), repr(error)


def _decoded(decoder):
    """Decode two answers (divided by a zero byte), store them, and render what is served of it."""

    def run(data):
        store = MetricsStore(max_age=60.0)
        first, _, second = data.partition(b"\0")
        for at, body in ((100.0, first), (115.0, second or first)):
            try:
                sample = decoder(
                    NODE, body, requested_at=at - 0.1, answered_at=at, wall_offset=WALL
                )
            except DecodeError:
                continue
            store.put(sample)
            _check_served(store, sample, at)
        store.forget(NODE)

    return run


def _check_served(store, sample, now):
    usage = store.node_usage(NODE, now)
    if usage is not None:
        _check(usage, [usage])
        node = Node(NODE, {}, {}, (), 10250, ready=True)
        json.loads(render_json.node_item(node, usage))
        protobuf.node_item(node, usage)
    for ref in {(pod.pod_ref.namespace, pod.pod_ref.name) for pod in sample.pods}:
        usage = store.pod_usage(*ref, now)
        if usage is not None:
            _check(usage, usage.containers)
            names = [container.name for container in usage.containers]
            assert names == sorted(set(names)), names
            json.loads(render_json.pod_item(Pod(*ref, {}), usage))
            protobuf.pod_item(Pod(*ref, {}), usage)
    list(store.readings(now))


def _check(usage, parts):
    assert usage.window > 0, usage
    assert abs(usage.timestamp - WALL) < 2**40, usage
    for part in parts:
        for value in (part.cpu, part.memory, part.swap, part.ephemeral_storage):
            assert value is None or (isinstance(value, int) and 0 <= value <= MOST), usage


def _summaries():
    lines = (RECORDED / "kubelet-1.36-series.jsonl").read_text().splitlines()
    series = [json.loads(line)["summary"] for line in lines[:4]]
    for summary in series:
        summary["node"]["nodeName"] = NODE
        del summary["pods"][3:]
    bodies = [json.dumps(summary).encode() for summary in series]
    source = SyntheticSource(synthetic_node(1, 2, 2), WALL - 3600)
    made = [source.summary(WALL + at) for at in (100.0, 115.0)]
    return [b"\0".join(two) for two in (*pairwise(bodies), made)] + [
        b'{"node":{"nodeName":"node-1"}}'
    ]


def _expositions():
    source = SyntheticSource(synthetic_node(1, 2, 2), WALL - 3600)
    made = [source.exposition(WALL + at) for at in (100.0, 115.0)]
    return [b"\0".join(made), b'node_cpu_usage_seconds_total 1e9 +Inf\nx{a="\\"} NaN 1\n']


def _pem(data):
    for block in read_blocks(data):
        assert block.error or list(read_blocks(block.pem)) == [block], block
    bundle = read_bundle(data, "x")
    again = read_bundle(bundle.pem, "x")
    assert (again.certificates, again.skipped) == (bundle.certificates, ()), data
    if bundle.certificates:  # what it calls usable is so to OpenSSL
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=bundle.pem)
    try:
        parse_authorities(data, "x")
    except PEMError as error:
        _explained(error)


def _pems():
    issued = Authority("ca").issue("x", names=("a.example", "127.0.0.1"))
    comment = "# \u00fc\n".encode() + issued.pair
    return [issued.pair, comment, issued.pem * 2, issued.key, issued.pair[:-100]]


def _request_target(data):
    try:
        target = resolve(data)
    except BadTarget:
        return
    path = target.partition(b"?")[0]
    decoded = unquote_to_bytes(path)
    assert path.startswith(b"/"), target
    assert path.count(b"/") == decoded.count(b"/"), target
    decoded.decode()
    assert not re.search(rb"[\x00-\x20\x7f\\]", path), target
    assert not set(decoded.split(b"/")) & {b".", b".."}, target
    assert resolve(target) == target, "what is resolved stays as it is"


def _targets():
    return [
        b"/apis/metrics.k8s.io/v1beta1/namespaces/ns-1/pods?labelSelector=app%3Dx&limit=5",
        *(b"http://host:80/a/b?c", b"/a%2fb", b"/a/../b", b"/%c3%bc/", b"//a", b"/a%00", b"*"),
    ]


def _selectors(data):
    text = data.decode("utf-8", "surrogateescape")
    labels = {"app": "x", "tier": "", "n": "5", "a.example/b": "c"}
    try:
        for requirement in parse_labels(text):
            assert requirement.matches(labels) in (True, False)
    except SelectorError as error:
        _explained(error)
    try:
        parse_fields(text, ("metadata.name", "metadata.namespace"))
    except SelectorError as error:
        _explained(error)


def _selector_seeds():
    return [
        b"app=x,tier!=y,!z,n>3,n<9,app in (x,y),a.example/b notin (c, d), q",
        *(b"metadata.name=a\\,b,metadata.namespace!=c", b"a in ()", b",", b"a==b", b"x in (,a)"),
    ]


def _protobuf(data):
    """Names, labels and numbers are taken from the bytes; Google's library must read them back."""
    text = data[8:].decode("utf-8", "replace")
    name, label, container, *_ = [*text.split("\0", 3), "", "", ""]
    # The API server admits no other names; a container's is a kubelet's, which storage has checked.
    name, container = (re.sub(r"[^a-z0-9.-]", "-", word.lower()) for word in (name, container))
    number = int.from_bytes(data[:8], "little") & MOST
    at = float(number % 2**32)
    usage = ContainerUsage(container, number, number // 3, number // 5 if number % 2 else None)
    pod = Pod(name, name[::-1], {label: text, "a": label})
    used = PodUsage(pod.namespace, pod.name, NODE, at, 15.0, (usage,))
    node = Node(name, pod.labels, {}, (), None, ready=True)
    of_node = NodeUsage(name, at, 0.001 + number % 10**6, number, number // 7)
    for kind, proto, js in (
        ("PodMetrics", protobuf.pod_item(pod, used), render_json.pod_item(pod, used)),
        ("NodeMetrics", protobuf.node_item(node, of_node), render_json.node_item(node, of_node)),
    ):
        version = "metrics.k8s.io/v1beta1"
        whole = protobuf.whole(version, kind, protobuf.raw(proto))
        assert _same(as_json(decode(whole)), json.loads(render_json.single(js, version, kind)))


def _same(proto, js):
    """Compare what both writers wrote: names, labels, and quantities, which are texts in both."""
    got = [part["usage"] for part in proto.get("containers", [proto])]
    wanted = [part["usage"] for part in js.get("containers", [js])]
    labels = js["metadata"].get("labels", {})
    assert got == wanted, (proto, js)
    assert proto["metadata"].get("name", "") == js["metadata"]["name"], (proto, js)
    assert proto["metadata"].get("labels", {}) == labels, (proto, js)
    return True


def _protobuf_seeds():
    return [
        b"\x01\0\0\0\0\0\0\0name\0label\0container",
        b"\xff" * 8 + b"\0\0\0",
        bytes(8) + "\u00fc\0\U0001f600\0c".encode(),
        b"\x80" * 8 + b"n" * 200 + b"\0l\0c",
    ]


def _watched(data):
    for resource in (NODES, RUNNING_PODS):
        for decoder in (decode_page, decode_event):
            try:
                decoder(resource, data)
            except KubeError as error:
                _explained(error)


def _watched_seeds():
    item = b'{"metadata":{"name":"a","namespace":"b","uid":"c","labels":{"d":"e"}},"status":{'
    item += b'"addresses":[{"type":"InternalIP","address":"10.0.0.1"}],"capacity":{"cpu":"4"}}}'
    listed = b'{"metadata":{"resourceVersion":"5","continue":"x"},"items":[%b]}' % item
    gone = b'{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}'
    return [listed, b'{"type":"ADDED","object":%b}' % item, gone, b'{"items":null}']


TARGETS = (
    Target("summary", _decoded(decode_summary), _summaries),
    Target("resource_metrics", _decoded(decode_resource_metrics), _expositions),
    Target("pem", _pem, _pems),
    Target("request_target", _request_target, _targets),
    Target("selectors", _selectors, _selector_seeds),
    Target("protobuf", _protobuf, _protobuf_seeds),
    Target("watch", _watched, _watched_seeds),
)
