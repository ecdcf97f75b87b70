"""What is odd about one pod in an answer costs that pod alone."""

from copy import deepcopy
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from metricsapi.storage.store import MetricsStore
from metricsapi.storage.types import ContainerStats, DiskStats, PodRef, PodStats, SwapStats
from tests.storage.simulation import NODE, Load, SimKubelet, SimStat, housekeeping, scrapes
from tests.support.decoding import decode_summary

ANSWERS = 12
PERIOD = 15.0
BEFORE, AFTER = "2020-01-01T00:00:00Z", "2040-01-01T00:00:00Z"


def kubelet(random, *, steady, housekept=0.0):
    """A node with pods that are read at request time, but for a part by housekeeping."""

    def container(name):
        load = Load((-1000.0, random.uniform(1e6, 1e9)))
        if not steady:
            load = Load((-1000.0, random.uniform(0, 1e9)), (random.uniform(0, 200), 1e8))
        ticks = housekeeping(random, ANSWERS * PERIOD + 60) if random.random() < housekept else []
        return SimStat(name, load, ticks=ticks)

    pods = {f"pod-{i}": [container("a"), container("b")] for i in range(random.randint(3, 6))}
    node = SimStat(NODE, Load((-1000.0, 1e9)), ticks=housekeeping(random, ANSWERS * PERIOD + 60))
    return SimKubelet(random, node, pods, offset=1.795e9 + random.uniform(-50, 50))


def disturb(random, simulated, at):
    """Restart a container, recreate a pod, set a counter back, let a container come or go."""
    name = random.choice(sorted(simulated.pods))
    event = random.choice(["restart", "recreate", "come", "fewer", "back"])
    restarted = SimStat("a", Load((at - 5.0, 2e8)), start=at - 5.0)
    if event == "restart":
        simulated.pods[name][0] = restarted
    elif event == "recreate":
        simulated.uids[name] = f"{name}-at-{at}"
        simulated.pods[name] = [restarted]
    elif event == "back":
        simulated.pods[name][0].load = Load((at - 5.0, 2e8))
    elif event == "fewer" and len(simulated.pods[name]) > 1:
        simulated.pods[name] = simulated.pods[name][:-1]
    elif event == "come":
        simulated.pods[name] = [*simulated.pods[name], SimStat(f"c{at:.0f}", Load((at - 5.0, 1e8)))]


def vary(random, sample):
    """Let a sample say what the simulation does not: any order, swap, files."""
    with_swap, with_files = random.random() < 0.6, random.random() < 0.6
    if with_swap:
        sample.stats.swap = SwapStats(random.choice([0, 2**30]), 4096)
    for pod in sample.pods:
        random.shuffle(pod.containers)
        for container in pod.containers:
            container.memory.working_set_bytes = random.randrange(1, 2**33)
            if with_swap:
                container.swap = SwapStats(2**30, random.choice([None, 0, 8192]))
            if with_files:
                container.rootfs = DiskStats(random.choice([None, 4096]))
                container.logs = DiskStats(4096)
    random.shuffle(sample.pods)


def disorder(random, sample):
    """Omit what a kubelet always has, or list a pod or container twice; return the pods' names.

    Only what changes no other pod of a node that lists the same.
    """
    at = random.randrange(len(sample.pods) + 1)
    pod = random.choice(sample.pods)
    name = pod.pod_ref.name
    odd = random.randrange(8)
    if odd == 0:
        pod.containers[0].cpu = None
    elif odd == 1:
        sample.pods.insert(at, deepcopy(pod))
    elif odd == 2:  # a pod that is listed twice, once without one of its containers
        sample.pods.insert(at, PodStats(pod.pod_ref, pod.containers[:1]))
    elif odd == 3:  # two pods of one uid
        sample.pods.insert(
            at, PodStats(PodRef("other", "ns", pod.pod_ref.uid), deepcopy(pod.containers))
        )
    elif odd == 4:  # two pods of one name
        sample.pods.append(other := deepcopy(pod))
        other.pod_ref = PodRef(name, "ns", "another")
        other.containers[0].start_time = random.choice([BEFORE, AFTER])
    elif odd == 5:
        pod.containers[-1] = deepcopy(pod.containers[0])
        pod.containers[-1].cpu.usage_core_nano_seconds += random.choice([0, 10**9])
    elif odd == 6:  # no name that an API server would take
        sample.pods.append(PodStats(PodRef("Pod!", "ns", "u"), pod.containers))
    else:  # a pod that is listed twice, first without its usage
        bare = [ContainerStats(of.name, of.start_time) for of in pod.containers]
        sample.pods.insert(0, PodStats(pod.pod_ref, bare))
    return {name, "other"}


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_what_is_odd_about_one_pod_changes_no_other(seed, exact):
    random = Random(seed)
    simulated = kubelet(random, steady=True)
    plain, odd = MetricsStore(max_age=60.0), MetricsStore(max_age=60.0)
    touched = set()
    times = scrapes(random, ANSWERS, PERIOD, exact=exact)
    for number, at in enumerate(times):
        if random.random() < 0.4:
            disturb(random, simulated, at)
        body, exchange = simulated.answer(at)
        now = exchange["answered_at"]
        sample = decode_summary(NODE, body, **exchange)
        vary(random, sample)
        plain.put(deepcopy(sample))
        # Once it is known which stats are read at request time: until then each pod is evidence.
        if number >= 4 and random.random() < 0.4:
            touched |= disorder(random, sample)
        odd.put(sample)
        assert plain.node_usage(NODE, now) == odd.node_usage(NODE, now)
        for name in simulated.pods.keys() - touched:
            assert_alike(plain.pod_usage("ns", name, now), odd.pod_usage("ns", name, now))


def assert_alike(expected, usage):
    """The same but for what one reading more or less says of the kubelet's clock."""
    if expected is None or usage is None:
        assert expected is usage
        return
    assert usage.timestamp == expected.timestamp
    for mine, theirs in zip(usage.containers, expected.containers, strict=True):
        assert mine.cpu == pytest.approx(theirs.cpu, rel=0.01)
        assert structs.replace(mine, cpu=0) == structs.replace(theirs, cpu=0)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_the_order_of_pods_and_containers_says_nothing(seed):
    random = Random(seed)
    simulated = kubelet(random, steady=False, housekept=0.1)
    first, second = MetricsStore(max_age=60.0), MetricsStore(max_age=60.0)
    for at in scrapes(random, ANSWERS, PERIOD, exact=False):
        if random.random() < 0.4:
            disturb(random, simulated, at)
        body, exchange = simulated.answer(at)
        now = exchange["answered_at"]
        for store in (first, second):
            sample = decode_summary(NODE, body, **exchange)
            random.shuffle(sample.pods)
            for pod in sample.pods:
                random.shuffle(pod.containers)
            store.put(sample)
        for name in simulated.pods:
            assert first.pod_usage("ns", name, now) == second.pod_usage("ns", name, now)
