"""What is sound of a Summary is taken, whatever its size and whatever else is wrong with it."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricsapi.scrape.decoding import POD_CONTAINERS, DecodeError, Exchange, run
from metricsapi.scrape.errors import Cause, Failure
from metricsapi.scrape.summary import AT_ONCE, summary_steps
from metricsapi.scrape.summary_pieces import MAX_POD
from tests.support.decoding import decode_summary

TIMES = {"requested_at": 1.0, "answered_at": 2.0, "wall_offset": 3.0}
AT = "2026-11-23T10:00:00Z"


def stats(cpu=1000, memory=2000):
    return {
        "startTime": "2026-11-23T09:00:00Z",
        "cpu": {"time": AT, "usageNanoCores": 10, "usageCoreNanoSeconds": cpu},
        "memory": {"time": AT, "workingSetBytes": memory, "rssBytes": 1},
        "rootfs": {"usedBytes": 7},
        "logs": {"usedBytes": 8},
    }


def pod(name, containers=2):
    return {
        "podRef": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "startTime": AT,
        "containers": [{"name": f"c{i}", **stats()} for i in range(containers)],
        "network": {"name": "eth0", "interfaces": [{"name": "eth0", "rxBytes": 1}]},
    }


def document(*pods, node="n1"):
    return {"node": {"nodeName": node, **stats(), "fs": {"usedBytes": 9}}, "pods": list(pods)}


def decode(value, *, disks=False, **options):
    body = value if isinstance(value, bytes) else json.dumps(value, indent=1).encode()
    return run(summary_steps(body, Exchange("n1", **TIMES, **options), disks=disks))


def named(sample):
    return {pod.pod_ref.name: pod for pod in sample.pods}


def refused(value, **options):
    with pytest.raises(DecodeError) as caught:
        decode(value, **options)
    return caught.value


@pytest.mark.parametrize("indent", [None, 1])
def test_a_large_summary_is_decoded_as_a_small_one(indent):
    """The large one pod by pod, in pieces, between which others are served."""
    pods = [pod(f"p{i}") for i in range(800)]
    large = json.dumps(document(*pods), indent=indent).encode()
    assert len(large) > AT_ONCE
    small = json.dumps(document(*pods[:100]), indent=indent).encode()
    assert len(small) < AT_ONCE
    steps = summary_steps(large, Exchange("n1", **TIMES), disks=True)
    pieces = sum(1 for _ in iter(lambda: next(steps, "end"), "end"))
    assert pieces > 10
    sample = decode_summary("n1", large, **TIMES)
    assert sample.pods[:100] == decode_summary("n1", small, **TIMES).pods
    assert len(sample.pods) == 800
    assert sample.stats == decode_summary("n1", small, **TIMES).stats


def put(at, path, value):
    """Put `value` at a path of keys and indexes."""
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value


CONTAINER = ("containers", 0)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ((*CONTAINER, "cpu", "usageCoreNanoSeconds"), "a lot"),
        ((*CONTAINER, "cpu", "usageCoreNanoSeconds"), 10**30),
        ((*CONTAINER, "cpu", "usageCoreNanoSeconds"), "@huge"),
        ((*CONTAINER, "cpu", "usageCoreNanoSeconds"), -1),
        ((*CONTAINER, "cpu", "usageCoreNanoSeconds"), 1.5),
        ((*CONTAINER, "cpu", "usageCoreNanoSeconds"), float("nan")),
        ((*CONTAINER, "cpu", "usageCoreNanoSeconds"), float("inf")),
        ((*CONTAINER, "cpu", "usageCoreNanoSeconds"), True),
        ((*CONTAINER, "cpu", "usageCoreNanoSeconds"), [1]),
        ((*CONTAINER, "cpu", "time"), {"seconds": 1}),
        ((*CONTAINER, "cpu"), "none"),
        ((*CONTAINER, "memory"), 12),
        ((*CONTAINER, "startTime"), ["x"]),
        ((*CONTAINER, "swap"), {"swapUsageBytes": 2**64 - 4096}),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_a_mistyped_field_costs_its_own_value(where, value, large):
    pods = [pod("a"), pod("b"), pod("c")]
    filling = [pod(f"z{i}") for i in range(800 if large else 0)]
    whole = named(decode(document(*pods, *filling)))
    damaged = copy.deepcopy(pods)
    put(damaged[1], where, value)
    text = json.dumps(document(*damaged, *filling)).replace('"@huge"', "1" * 5000)
    result = named(decode(text.encode()))
    assert result.keys() == whole.keys()
    for name in whole.keys() - {"b"}:
        assert result[name] == whole[name]
    assert result["b"].pod_ref == whole["b"].pod_ref
    assert len(result["b"].containers) == 2
    assert result["b"].containers[1].cpu == whole["b"].containers[1].cpu


@pytest.mark.parametrize(("uid", "kept"), [(None, ""), (5, ""), ("u", "u")])
def test_a_uid_that_is_none_is_left_out(uid, kept):
    of = pod("b")
    of["podRef"]["uid"] = uid
    sample = named(decode(document(pod("a"), of)))
    assert (sample["b"].pod_ref.uid, len(sample["b"].containers)) == (kept, 2)


@pytest.mark.parametrize("name", [None, "", "POD", 7, "missing"])
def test_a_container_without_a_name_is_left_out_of_its_pod(name):
    of = pod("b", containers=3)
    of["containers"][1]["name"] = name
    if name == "missing":
        del of["containers"][1]["name"]
    containers = named(decode(document(pod("a"), of)))["b"].containers
    assert [container.name for container in containers] == ["c0", "c2"]


@pytest.mark.parametrize("ref", [None, {}, {"name": "x"}, {"namespace": "x", "name": 5}, "x"])
def test_a_pod_without_a_name_is_left_out(ref):
    nameless = pod("b")
    nameless["podRef"] = ref
    sample = decode(document(pod("a"), nameless, pod("c")))
    assert (named(sample).keys(), sample.nameless) == ({"a", "c"}, 1)


@pytest.mark.parametrize("entry", [None, 5, "x", [], {}])
def test_an_entry_that_is_no_pod_is_left_out(entry):
    assert named(decode(document(pod("a"), entry, pod("c")))).keys() == {"a", "c"}


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("large", [False, True])
def test_keys_may_come_in_any_order(damaged, large):
    pods = [pod(f"p{i}") for i in range(800 if large else 3)]
    if damaged:
        pods[1]["containers"][0]["cpu"]["time"] = 5.5
    turned = [dict(reversed(each.items())) for each in pods]
    value = {"pods": turned, "more": [1, {"pods": []}], "node": document()["node"]}
    assert named(decode(value)).keys() == {each["podRef"]["name"] for each in pods}


def test_file_systems_are_left_out_unless_they_are_asked_for():
    """Some kubelets list them although they are asked for CPU and memory only."""
    without = decode(document(pod("a")))
    assert without.stats.rootfs is None
    assert without.pods[0].containers[0].rootfs is None
    with_disks = decode(document(pod("a")), disks=True)
    assert with_disks.stats.rootfs.used_bytes == 9
    assert with_disks.pods[0].containers[0].logs.used_bytes == 8


@pytest.mark.parametrize("count", [4, 3000])
def test_more_pods_than_allowed_are_a_cause_and_no_silent_cut(count):
    error = refused(document(*[pod(f"p{i}", 1) for i in range(count)]), max_pods=3)
    assert error.cause is Cause.TOO_MANY_PODS
    assert "more than 3 pods" in str(error)
    assert "--kubelet-max-pods" in Failure(error.cause, str(error)).fix


def test_more_containers_than_allowed_are_a_cause():
    each = refused(document(pod("big", POD_CONTAINERS + 1)))
    assert each.cause is Cause.TOO_MANY_CONTAINERS
    assert "default/big" in str(each)
    together = refused(document(*[pod(f"p{i}", 100) for i in range(3)]), max_pods=3)
    assert together.cause is Cause.TOO_MANY_CONTAINERS
    assert len(decode(document(pod("most", POD_CONTAINERS))).pods[0].containers) == POD_CONTAINERS


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"<html>hello</html>",
        b"\xff\xfe garbage",
        b'{"node": {}}',
        b'{"node": {"nodeName": 5}}',
        b'{"pods": []}',
        b'{"node": {"nodeName": "n1"}} trailing',
        b'{"node": {"nodeName": "n1"}, "pods": [}',
        b'{"node": {"nodeName": "n1"}, "pods": [{"podRef": {}}',
        b'{"node": {"nodeName": "n1"}, "pods": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
        b'{"node": {"nodeName": "n1"}, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_summary_is_refused(body):
    error = refused(body)
    assert error.cause is Cause.DECODE
    assert str(error).startswith("not a Summary")


def test_another_nodes_summary_is_refused():
    error = refused(document(node="other"))
    assert (error.cause, str(error)) == (Cause.DECODE, "this is the Summary of node 'other'")


HOSTILE = {
    "tiny pods": b'{"node":{"nodeName":"n1"},"pods":['
    + b'{"podRef":{"name":"a","namespace":"b"}},' * 200_000
    + b"{}]}",
    "empty pods": b'{"node":{"nodeName":"n1"},"pods":[' + b"{}," * 2_000_000 + b"{}]}",
    "numbers": b'{"node":{"nodeName":"n1"},"x":[' + b"1," * 4_000_000 + b"1]}",
    "one pod": b'{"node":{"nodeName":"n1"},"pods":[{"podRef":{"name":"a","namespace":"b"},'
    b'"containers":[' + b'{"name":"c"},' * 600_000 + b"{}]}]}",
    "braces": b'{"node":{"nodeName":"n1"},"pods":[' + b"{" * 8_000_000,
    "blanks": b'{"node":{"nodeName":"n1"},"pods":[' + b" " * 8_000_000 + b"]}",
    "many refs": b'{"node":{"nodeName":"n1"},"pods":[{"podRef":['
    + b'"podRef",' * 800_000
    + b"1]}]}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_answer_made_to_be_slow_is_given_up(name):
    """What it costs is measured by `make bench-hostile`."""
    assert refused(HOSTILE[name]).cause in (
        Cause.TOO_MANY_PODS,
        Cause.TOO_LARGE,
        Cause.DECODE,
    )


def test_a_summary_that_is_damaged_all_over_is_read_up_to_a_bound():
    pods = [pod(f"p{i}", 4) for i in range(400)]
    for each in pods:
        each["containers"][0]["cpu"]["time"] = [5]
    assert len(decode(document(*pods)).pods) == 400
    filling = {"filling": ["x" * 1000] * 8}
    error = refused(
        document(*[{**each, **filling} for each in pods], *[{**each, **filling} for each in pods])
    )
    assert "damaged" in str(error)


def test_one_value_is_bounded_in_size():
    large = pod("large")
    large["filling"] = "x" * MAX_POD
    assert refused(document(*[pod(f"p{i}") for i in range(300)], large)).cause is Cause.TOO_LARGE


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def mutations(draw):
    """A Summary of three pods, with some values anywhere in it replaced by any others."""
    value = document(pod("a"), pod("b"), pod("c"))
    touched = set()
    for _ in range(draw(st.integers(1, 4))):
        at, path = value, []
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            path.append(key)
            inner = at[key]
            if isinstance(inner, dict | list) and draw(st.booleans()) and inner:
                at = inner
                continue
            at[key] = draw(json_values)
            break
        if path[0] == "pods" and len(path) > 1 and path[1] in (0, 1, 2):
            touched.add("abc"[path[1]])
        else:
            touched.update("abcn")
    return value, touched


UNTOUCHED = named(decode(document(pod("a"), pod("b"), pod("c"))))


@given(mutations(), st.sampled_from([None, 1]))
@settings(max_examples=300, deadline=None)
def test_a_pod_that_was_not_touched_is_what_it_was(mutated, indent):
    value, touched = mutated
    body = json.dumps(value, indent=indent).encode()
    try:
        sample = decode(body)
    except DecodeError:
        assert touched & {"n"}
        return
    if "n" in touched:
        return
    assert sample.stats is not None
    for name in set("abc") - touched:
        kept = [each for each in sample.pods if each.pod_ref == UNTOUCHED[name].pod_ref]
        assert UNTOUCHED[name] in kept


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_bytes_in_a_summary_end_in_a_sample_or_in_its_error(data):
    body = bytearray(json.dumps(document(pod("a"), pod("b"))).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    try:
        sample = decode(bytes(body))
    except DecodeError:
        return
    for each in sample.pods:
        assert all(isinstance(container.name, str) for container in each.containers or ())
