"""Restarts, recreated pods, broken counters and gaps: no rate across them, no partial sum."""

from __future__ import annotations

import json
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.api.render.times import rfc3339
from metricsapi.storage.rates import KUBELET_WINDOW
from metricsapi.storage.store import MetricsStore
from tests.support.decoding import decode_resource_metrics, decode_summary
from tests.support.samples import container_stats, node_sample

EPOCH = 1.8e9
MAX_AGE = 60.0


def container(name="c", at=0.0, counter=0, *, start=0.0, rate=None, memory=4096, cpu=True):
    return container_stats(
        name,
        EPOCH + start,
        EPOCH + int(at) if cpu else None,
        counter if cpu else None,
        rate,
        EPOCH + int(at),
        memory,
    )


def put(store, at, *pods, node=None):
    """One answer at `at`: pods as (name, uid, containers)."""
    listed = [("ns", *pod) for pod in pods]
    store.put(node_sample("node-a", at, at + 0.01, listed, own=node))
    return at + 0.01


@pytest.fixture
def store():
    return MetricsStore(max_age=MAX_AGE)


def only(store, now, name="pod"):
    usage = store.pod_usage("ns", name, now)
    return usage and usage.containers[0].cpu


def test_the_first_answer_is_served_with_the_kubelets_rate_and_window(store):
    now = put(store, 100.0, ("pod", "u", [container(at=100, counter=10**12, rate=5 * 10**7)]))
    usage = store.pod_usage("ns", "pod", now)
    assert (usage.containers[0].cpu, usage.window) == (5 * 10**7, KUBELET_WINDOW)


@pytest.mark.parametrize(
    ("counter", "age", "served"),
    [(0, 60, None), (10**6, 60, 0), (60 * 10**9, 60, None), (2 * 10**6, 1, None)],
)
def test_a_first_rate_of_zero_counts_only_if_the_counter_agrees(store, counter, age, served):
    sample = container(at=100, counter=counter, start=100 - age, rate=0)
    assert only(store, put(store, 100.0, ("pod", "u", [sample]))) == served


def test_a_container_that_has_just_started_is_served_once_its_rate_is_known(store):
    now = put(store, 100.0, ("pod", "u", [container(at=100, counter=10**9, start=99, rate=None)]))
    assert only(store, now) is None
    now = put(
        store, 115.0, ("pod", "u", [container(at=115, counter=8 * 10**9, start=99, rate=4 * 10**8)])
    )
    assert only(store, now) == 4 * 10**8


def test_no_rate_reaches_across_a_restart(store):
    put(store, 100.0, ("pod", "u", [container(at=100, counter=10**9, start=0, rate=10**7)]))
    again = container(at=115, counter=90 * 10**9, start=110, rate=3 * 10**7)
    assert only(store, put(store, 115.0, ("pod", "u", [again]))) == 3 * 10**7


def test_no_rate_reaches_across_a_pod_recreated_under_its_name(store):
    put(store, 100.0, ("pod", "old", [container(at=100, counter=10**9, rate=10**7)]))
    again = container(at=115, counter=90 * 10**9, rate=3 * 10**7)
    assert only(store, put(store, 115.0, ("pod", "new", [again]))) == 3 * 10**7


def test_a_counter_that_went_back_begins_anew(store):
    put(store, 100.0, ("pod", "u", [container(at=100, counter=10**12, rate=10**7)]))
    now = put(store, 115.0, ("pod", "u", [container(at=115, counter=5 * 10**8, rate=2 * 10**7)]))
    assert only(store, now) == 2 * 10**7


def test_a_pod_with_one_unknown_container_is_withheld_whole(store):
    both = [container("a", at=100, counter=10**9, rate=1), container("b", at=100, cpu=False)]
    assert store.pod_usage("ns", "pod", put(store, 100.0, ("pod", "u", both))) is None


def test_a_container_without_stats_keeps_its_last_usage_until_max_age(store):
    def put_at(at, *, cpu):
        sound = container("a", at=at, counter=int(at * 10**7), rate=10**7)
        other = container("b", at=at, counter=int(at * 10**8), rate=10**8, cpu=cpu)
        return put(store, at, ("pod", "u", [sound, other]))

    put_at(100.0, cpu=True)
    for at in (115.0, 130.0, 145.0, 160.0):
        usage = store.pod_usage("ns", "pod", put_at(at, cpu=False))
        assert usage.containers[1].cpu == 10**8
        assert usage.timestamp == EPOCH + 100  # the earliest of its containers
    assert store.pod_usage("ns", "pod", put_at(175.0, cpu=False)) is None


def test_a_node_that_stops_answering_is_served_until_max_age_and_honestly_dated(store):
    own = container("node-a", at=100, counter=10**12, rate=10**9)
    now = put(store, 100.0, ("pod", "u", [container(at=100, counter=10**9, rate=10**7)]), node=own)
    for later in (now, now + MAX_AGE - 1):
        assert store.pod_usage("ns", "pod", later).timestamp == EPOCH + 100
        assert store.node_usage("node-a", later).timestamp == EPOCH + 100
    assert store.pod_usage("ns", "pod", now + MAX_AGE + 1) is None
    assert store.node_usage("node-a", now + MAX_AGE + 1) is None


def test_the_oldest_usage_of_nodes_is_known_while_it_is_served(store):
    for name, at in (("old", 90), ("new", 110), ("unknown", None)):
        own = container(at=at, counter=10**12, rate=5) if at else None
        store.put(node_sample(name, 110.0, 110.01, [], own=own))
    assert store.oldest(111.0) == store.node_usage("old", 111.0).timestamp == EPOCH + 90
    assert store.oldest(111.0 + MAX_AGE) is None


def test_the_same_answer_again_is_no_new_reading(store):
    sample = [("pod", "u", [container(at=100, counter=10**9, rate=10**7)])]
    put(store, 100.0, *sample)
    before = store.pod_usage("ns", "pod", 100.1)
    put(store, 115.0, *sample)
    assert store.pod_usage("ns", "pod", 115.1) is before
    assert store.pod_usage("ns", "pod", 100.0 + MAX_AGE + 1) is None


@pytest.mark.parametrize("off", [-30, 0, 30], ids="{:+}ns".format)
@pytest.mark.parametrize("first", ["summary", "resource"])
def test_the_same_reading_from_the_other_endpoint_is_no_new_reading(store, first, off):
    """One endpoint cuts its time to a second, the other has a millisecond and a float."""
    counter = 3 * 10**17 + 123_456_789
    earlier = container(name="node-a", at=90, counter=counter - 10**10, rate=10**9)
    put(store, 91.0, node=earlier)
    cut = container(name="node-a", at=100, counter=counter, rate=10**9)
    exact = container(name="node-a", at=100, counter=counter + off)
    exact.cpu.time = exact.memory.time = EPOCH + 100.4
    both = (cut, exact) if first == "summary" else (exact, cut)
    for at, own in zip((101.0, 103.0), both, strict=True):
        put(store, at, node=own)
        assert store.node_usage("node-a", at + 0.1).cpu == pytest.approx(10**9, rel=0.05)


def test_a_pod_that_is_no_longer_listed_is_gone(store):
    put(store, 100.0, ("pod", "u", [container(at=100, counter=1, rate=0)]))
    assert store.pod_usage("ns", "pod", put(store, 115.0)) is None


def test_a_forgotten_node_leaves_nothing_behind(store):
    now = put(store, 100.0, ("pod", "u", [container(at=100, counter=1, rate=0)]))
    store.forget("node-a")
    assert store.pod_usage("ns", "pod", now) is None
    assert store.node_info("node-a") is None
    assert not list(store.readings(now))


NUMBERS = st.one_of(st.none(), st.integers(0, 2**64 - 1))
TIMES = st.one_of(st.none(), st.floats(-1e5, 1e5).map(lambda value: EPOCH + int(value)))
ANSWERS = st.lists(
    st.tuples(
        st.floats(0.5, 60.0),  # since the last answer
        st.lists(
            st.tuples(st.sampled_from("ab"), TIMES, TIMES, NUMBERS, NUMBERS, TIMES, NUMBERS),
            max_size=3,
        ),
    ),
    max_size=12,
)


@given(ANSWERS)
def test_whatever_is_answered_usage_is_finite_and_whole(answers):
    """Never negative, infinite, a zero window, a missing container, or a time not listed."""
    store = MetricsStore(max_age=MAX_AGE)
    now, listed = 1000.0, set()
    for since, containers in answers:
        now += since
        samples = [container_stats(*fields) for fields in containers]
        listed |= {sample.cpu.time for sample in samples}
        node = container_stats("node-a", *containers[0][1:]) if containers else None
        put(store, now, ("pod", "u", samples), node=node)
        pod = store.pod_usage("ns", "pod", now)
        if pod is not None:
            assert {item.name for item in pod.containers} == {item.name for item in samples}
        for usage in filter(None, (pod, store.node_usage("node-a", now))):
            assert isfinite(usage.window)
            assert usage.window > 0
            assert usage.timestamp in listed
            for item in getattr(usage, "containers", (usage,)):
                assert 0 <= item.cpu <= 10**15
                assert item.memory >= 0


@pytest.mark.parametrize(
    ("namespace", "pod", "name"),
    [
        ("NS", "pod", "c"),
        ("a/b", "pod", "c"),
        ("ns", "Pod", "c"),
        ("ns", "-pod", "c"),
        ("ns", "a..b", "c"),
        ("ns", "p" * 254, "c"),
        ("ns", "pod\n", "c"),
        ("ns", "pod", "C"),
        ("ns", "pod", "c/d"),
        ("ns", "pod", "c" * 64),
        ("ns", "pod", ""),
    ],
)
def test_a_pod_that_is_named_as_none_can_be_is_left_out_and_costs_no_other(
    store, namespace, pod, name
):
    for at in (100.0, 115.0):
        listed = [
            (namespace, pod, "u", [container(name, at, int(at))]),
            ("ns", "good", "v", [container("c", at, int(at), rate=10**8)]),
        ]
        store.put(node_sample("node-a", at, at + 0.01, listed))
    assert store.pod_usage("ns", "good", 115.0)
    assert store.pod_usage(namespace, pod, 115.0) is None
    assert store.node_info("node-a").pods == 1


def test_a_pod_that_is_gone_is_dropped_even_if_another_is_listed_twice(store):
    item = ("one", "u", [container(at=100, counter=10**12, rate=10**8)])
    put(store, 100.0, item, ("two", "v", [container(at=100, counter=10**12, rate=10**8)]))
    now = put(store, 115.0, item, item)
    assert store.pod_usage("ns", "one", now)
    assert store.pod_usage("ns", "two", now) is None


def test_nothing_of_any_length_is_kept_of_a_pod(store):
    """A kubelet's word is bounded by its whole answer alone, and what is kept must be by less."""
    long_start = f"2027-01-15T08:00:00.{'0' * 10**6}Z"
    for at in (100.0, 115.0):
        listed = [
            ("ns", "pod", "u", [container("c", at, int(at), rate=10**8)]),
            ("ns", "other", "u" * 254, [container("c", at, int(at), rate=10**8)]),
        ]
        sample = node_sample("node-a", at, at + 0.01, listed)
        sample.pods[0].containers[0].start_time = long_start
        store.put(sample)
    assert store.pod_usage("ns", "pod", 115.0)
    assert store.pod_usage("ns", "other", 115.0) is None
    (kept,) = (of for of in store.readings(115.1) if of.pod == "pod")
    assert kept.start is None


@pytest.mark.parametrize(
    "time", [1e300, 1.7e18, -1e300, "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00Z"]
)
def test_a_time_that_cannot_be_written_costs_its_own_pod(time):
    """Lists and `/metrics/resource` write times: one that they cannot would cost everybody."""
    store = MetricsStore(max_age=MAX_AGE)

    def stats(time):
        cpu = {"time": time, "usageNanoCores": 10**8, "usageCoreNanoSeconds": 10**12}
        return {"cpu": cpu, "memory": {"time": time, "workingSetBytes": 4096}}

    pods = [
        {"podRef": {"name": name, "namespace": "ns"}, "containers": [{"name": "c", **stats(at)}]}
        for name, at in (("bad", time), ("good", "2027-01-15T08:01:40Z"))
    ]
    body = json.dumps({"node": {"nodeName": "n", **stats(time)}, "pods": pods}).encode()
    store.put(decode_summary("n", body, requested_at=100.0, answered_at=100.1, wall_offset=EPOCH))
    assert store.node_usage("n", 100.1) is None
    assert store.pod_usage("ns", "bad", 100.1) is None
    assert rfc3339(int(store.pod_usage("ns", "good", 100.1).timestamp)) == "2027-01-15T08:01:40Z"
    assert [item.pod for item in store.readings(100.1)] == ["good"]


def test_times_that_are_next_to_each_other_give_no_rate(store):
    """No kubelet's times are finer than a millisecond; divided by less, a rate is infinite."""
    for at, time in ((100.0, 1e-320), (115.0, 2e-320)):
        item = container(at=at, counter=int(at), rate=None)
        item.cpu.time = time
        store.put(node_sample("node-a", at, at + 0.01, [("ns", "pod", "u", [item])]))
    assert store.pod_usage("ns", "pod", 115.1) is None


@pytest.mark.parametrize("odd", ["1e300 1800000100000", f"5 {'9' * 400}"])
def test_a_resource_metric_that_no_number_holds_costs_its_own_pod(store, odd):
    series = 'container_{}{{container="c",namespace="ns",pod="{}"}} {}\n'
    for at in (100.0, 115.0):
        now = f"{int(at)} {1_800_000_000_000 + int(at * 1000)}"
        text = "".join(
            series.format("cpu_usage_seconds_total", pod, cpu)
            + series.format("memory_working_set_bytes", pod, now)
            for pod, cpu in (("bad", odd), ("good", now))
        )
        times = {"requested_at": at, "answered_at": at + 0.01, "wall_offset": EPOCH}
        store.put(decode_resource_metrics("n", text.encode(), **times))
    assert store.pod_usage("ns", "bad", 115.1) is None
    assert store.pod_usage("ns", "good", 115.1).containers[0].cpu == pytest.approx(10**9)


def test_of_a_pod_that_two_nodes_list_the_one_that_started_last_is_served(store):
    """Moved at once, as a StatefulSet's pod is: both kubelets list it for a while."""
    for at in (100.0, 115.0, 130.0, 145.0, 160.0):
        for node, start, cores in (("node-a", 50, 1), ("node-b", 90, 2), ("node-a", 50, 1)):
            item = container(at=at, counter=int(at * cores * 1e9), start=start, rate=cores * 10**9)
            alone = [
                (f"on-{node}-{i}", f"uid-{i}", [container(at=at, counter=int(at * 1e9))])
                for i in range(5)
            ]
            listed = [("ns", *pod) for pod in (("pod", f"uid-{node}", [item]), *alone)]
            store.put(node_sample(node, at, at + 0.01, listed))
        usage = store.pod_usage("ns", "pod", at + 0.01)
        assert (usage.node, usage.containers[0].cpu) == ("node-b", pytest.approx(2e9))


@pytest.mark.parametrize("newest_first", [False, True])
def test_of_a_name_that_is_listed_twice_the_one_that_started_last_is_served(store, newest_first):
    old = ("pod", "old", [container(at=100, counter=10**12, start=10, rate=10**8)])
    new = ("pod", "new", [container(at=100, counter=10**10, start=90, rate=3 * 10**8)])
    now = put(store, 100.0, *([new, old] if newest_first else [old, new]))
    assert only(store, now) == 3 * 10**8
