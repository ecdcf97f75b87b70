"""A large answer is stored in steps, between which everything may be read, or its node go."""

from metricsapi.storage.store import MetricsStore
from metricsapi.storage.types import (
    ContainerStats,
    CpuStats,
    MemoryStats,
    NodeSample,
    PodRef,
    PodStats,
)

AT = 1_795_000_000.0
PODS = 300


def stats(name, number):
    at = AT + 15 * number
    return ContainerStats(
        name, AT - 900, CpuStats(at, 10**8, 10**12 + number * 15 * 10**8), MemoryStats(at, 2**24)
    )


def sample(number, *, prefix="p", pods=PODS, containers=1):
    pods = [
        PodStats(
            PodRef(f"{prefix}{i}", "default", f"{prefix}{i}"),
            [stats(f"c{each}", number) for each in range(containers)],
        )
        for i in range(pods)
    ]
    now = 100.0 + 15 * number
    return NodeSample("n1", now, now + 0.02, stats("n1", number), pods)


def shown(store, prefix="p", at=120.0):
    usages = [store.pod_usage("default", f"{prefix}{i}", at) for i in range(PODS)]
    return sum(usage is not None for usage in usages)


def test_steps_end_in_what_storing_at_once_ends_in():
    at_once, in_steps = MetricsStore(max_age=60.0), MetricsStore(max_age=60.0)
    for number in range(3):
        at_once.put(sample(number))
        steps = list(in_steps.put_in_steps(sample(number)))
        assert len(steps) > 5
    for i in range(PODS):
        key = ("default", f"p{i}")
        assert in_steps.pod_usage(*key, 140.0) == at_once.pod_usage(*key, 140.0)
    assert in_steps.node_usage("n1", 140.0) == at_once.node_usage("n1", 140.0)


def test_pods_of_many_containers_have_steps_of_their_own():
    store = MetricsStore(max_age=60.0)
    assert len(list(store.put_in_steps(sample(0, pods=20, containers=250)))) == 19


def test_between_steps_every_pod_is_whole():
    store = MetricsStore(max_age=60.0)
    store.put(sample(0))
    for _ in store.put_in_steps(sample(1)):
        assert shown(store) == PODS
    assert shown(store) == PODS


def test_a_node_that_goes_between_steps_leaves_nothing_behind():
    store = MetricsStore(max_age=60.0)
    for number, _ in enumerate(store.put_in_steps(sample(0))):
        if number == 3:
            store.forget("n1")
    assert shown(store) == 0
    assert store.node_usage("n1", 120.0) is None
    assert list(store.readings(120.0)) == []
    assert store.points() == (0, 0)


def test_steps_that_are_given_up_leave_the_store_usable():
    store = MetricsStore(max_age=60.0)
    store.put(sample(0))
    steps = store.put_in_steps(sample(1, prefix="q"))
    next(steps)
    steps.close()
    assert shown(store) == PODS
    store.put(sample(2, prefix="q"))
    assert (shown(store, "p", 140.0), shown(store, "q", 140.0)) == (0, PODS)
