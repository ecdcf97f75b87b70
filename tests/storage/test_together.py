"""What a kubelet reads together stays together, however its whole-second times fall."""

import pytest

from metricsapi.storage.rates import KUBELET_WINDOW
from metricsapi.storage.store import MetricsStore
from tests.storage.test_never_wrong import EPOCH, MAX_AGE, container, put
from tests.support.samples import node_sample


def answers(store, *times):
    """Six pods of one core each, read at these times; return when that was, as kept for Prometheus.

    Where a time is a pair, half of the pods were read at each.
    """
    for at in times:
        first, second = at if isinstance(at, tuple) else (at, at)
        read = [first, second] * 3
        pods = [
            (f"pod-{i}", f"uid-{i}", [container(at=each, counter=int(each * 1e9), rate=10**9)])
            for i, each in enumerate(read)
        ]
        now = put(store, first, *pods)
    kept = list(store.readings(now))
    assert len(kept) == 6
    return {each.cpu.at.exact - EPOCH for each in kept}


def test_readings_on_both_sides_of_a_second_have_their_own_times_and_then_the_same_again():
    store = MetricsStore(max_age=MAX_AGE)
    assert len(answers(store, 100.0, 115.0, 130.0, 145.0)) == 1
    early, late = sorted(answers(store, (159.995, 160.001)))
    assert 159 <= early < 160 <= late < 161
    (before,) = answers(store, 175.0)
    (after,) = answers(store, 190.7)
    assert after - before == pytest.approx(15.7)
    assert after == pytest.approx(190.7, abs=0.02)  # known from the bounds
    for i in range(6):
        usage = store.pod_usage("ns", f"pod-{i}", 190.72)
        assert usage.window == pytest.approx(15.7)
        assert usage.containers[0].cpu == pytest.approx(1e9, rel=1e-3)


def test_a_start_in_another_notation_is_the_same_start():
    store = MetricsStore(max_age=MAX_AGE)
    answers(store, 100.0, 115.0, 130.0, 145.0)
    stats = container(at=160, counter=160 * 10**9, rate=1)
    stats.start_time = "2027-01-15T09:00:00+01:00"
    now = put(store, 160.0, *[(f"pod-{i}", f"uid-{i}", [stats]) for i in range(6)])
    for i in range(6):
        (each,) = store.pod_usage("ns", f"pod-{i}", now).containers
        assert each.cpu == pytest.approx(1e9)


def test_no_rate_reaches_across_a_restart_after_which_the_counter_is_higher():
    store = MetricsStore(max_age=MAX_AGE)

    def put_pods(at, first):
        stats = container(at=at, counter=int(at * 1e7), rate=10**7)
        others = [(f"pod-{i}", f"uid-{i}", [stats]) for i in range(6)]
        return put(store, at, ("pod", "uid", [first or stats]), *others)

    for at in (100.0, 115.0, 130.0, 145.0, 160.0):
        put_pods(at, None)
    now = put_pods(175.0, container(at=175, counter=7 * 10**9, start=165, rate=7 * 10**8))
    usage = store.pod_usage("ns", "pod", now)
    assert (usage.containers[0].cpu, usage.window) == (7 * 10**8, KUBELET_WINDOW)
    assert store.pod_usage("ns", "pod-1", now).window == pytest.approx(15.0)


def test_readings_are_of_one_answer_even_if_another_comes_between_two_of_them():
    """Those who write them pause now and then, so that other tasks run."""
    store = MetricsStore(max_age=MAX_AGE)

    def put_pods(at, *names):
        for_each = {"one": "c", "two": "ab", "three": "c"}
        counters = {"a": 10**9, "b": 2 * 10**9, "c": 3 * 10**9}
        pods = [
            (name, name, [container(c, at, counters[c] + int(at), rate=1) for c in for_each[name]])
            for name in names
        ]
        return put(store, at, *pods)

    for at in (100.0, 115.0, 130.0, 145.0):
        put_pods(at, "one", "two", "three")
    now = put_pods(160.0, "two", "three")
    readings = store.readings(now)
    first = next(readings)
    put_pods(175.0, "two", "three")
    second = next(readings)
    assert [(each.pod, each.name) for each in (first, second)] == [("two", "a"), ("two", "b")]
    assert (first.cpu.counter, second.cpu.counter) == (10**9 + 160, 2 * 10**9 + 160)
    assert second.cpu.at.exact == first.cpu.at.exact


def test_a_pod_that_another_node_listed_for_a_while_is_served_from_its_own_again():
    store = MetricsStore(max_age=MAX_AGE)
    for at in (100.0, 115.0, 130.0, 145.0, 160.0, 175.0):
        answers(store, at)
        listed = []
        if at == 145.0:
            elsewhere = container(at=at, counter=10**9, start=140, rate=2 * 10**8)
            listed = [("ns", "pod-0", "uid-0", [elsewhere])]
        store.put(node_sample("node-b", at, at + 0.01, listed))
        if at == 145.0:
            assert store.pod_usage("ns", "pod-0", at).node == "node-b"
    usage = store.pod_usage("ns", "pod-0", 175.02)
    assert (usage.node, usage.timestamp) == ("node-a", EPOCH + 175)


def test_usage_stays_the_same_object_while_a_pod_is_listed_without_new_usage():
    store = MetricsStore(max_age=MAX_AGE)
    answers(store, 100.0, 115.0, 130.0, 145.0)
    before = store.pod_usage("ns", "pod-0", 145.02)
    stats = [container(at=160, counter=160 * 10**9, rate=10**9)]
    others = [(f"pod-{i}", f"uid-{i}", stats) for i in range(1, 6)]
    bare = ("pod-0", "uid-0", [container(at=145, cpu=False)])
    now = put(store, 160.0, bare, *others)
    assert before.timestamp == EPOCH + 145
    assert store.pod_usage("ns", "pod-0", now) is before
    assert store.pod_usage("ns", "pod-1", now).timestamp == EPOCH + 160


def test_an_idle_container_that_is_not_listed_any_more_is_gone():
    """A counter that is not listed is not a counter that stayed 0."""
    store = MetricsStore(max_age=MAX_AGE)
    for at in (100.0, 115.0, 130.0, 145.0, 160.0):
        stats = [container(at=at, counter=int(at * 1e9), rate=10**9)]
        idle = [container("idle", at=at, counter=0, rate=0)] if at < 160 else []
        pods = [(f"pod-{i}", f"uid-{i}", stats + idle) for i in range(6)]
        now = put(store, at, *pods, *[("pod", "uid", idle)] * (at < 160))
    assert [each.name for each in store.pod_usage("ns", "pod-0", now).containers] == ["c"]
    assert store.pod_usage("ns", "pod", now) is None


def test_a_counter_that_jumps_beyond_all_processors_leaves_the_usage_before():
    store = MetricsStore(max_age=MAX_AGE)
    answers(store, 100.0, 115.0, 130.0, 145.0)
    stats = container(at=160, counter=160 * 10**9, rate=10**9)
    jumped = container(at=160, counter=2**63, rate=10**9)
    pods = [(f"pod-{i}", f"uid-{i}", [stats if i else jumped]) for i in range(6)]
    now = put(store, 160.0, *pods)
    ages = [now + EPOCH - store.pod_usage("ns", f"pod-{i}", now).timestamp for i in range(2)]
    assert ages == [pytest.approx(15.01), pytest.approx(0.01)]
