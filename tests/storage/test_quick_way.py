"""The columns of steady pods hold what the thorough way through their stats ends with."""

from copy import deepcopy
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricsapi.scrape.summary import decode_summary
from metricsapi.storage.columns import Columns
from metricsapi.storage.store import MetricsStore
from metricsapi.storage.types import (
    ContainerStats,
    CpuStats,
    DiskStats,
    PodRef,
    PodStats,
    SwapStats,
)
from tests.storage.simulation import NODE, Load, SimKubelet, SimStat, housekeeping, scrapes

TURNS = 16
PERIOD = 15.0
STILL = "2027-01-15T08:00:00Z"
BEFORE, AFTER = "2020-01-01T00:00:00Z", "2040-01-01T00:00:00Z"


def admits_none(*_):
    """Leave every pod in its stats."""


def kubelet(random, *, steady):
    """A node with pods read on request; unless `steady`, also with what casts doubt on that."""

    def container(name, *, housekept=False):
        load = Load((-1000.0, random.uniform(0, 1e9)), (random.uniform(0, 200), 1e8))
        if random.random() < 0.2:
            load = Load((-1000.0, 0.0))
        ticks = housekeeping(random, TURNS * PERIOD + 60) if housekept else []
        return SimStat(name, load, ticks=ticks)

    pods = {f"pod-{i}": [container("a"), container("b")] for i in range(random.randint(2, 6))}
    node = container(NODE, housekept=True)
    made = SimKubelet(random, node, pods, offset=1.795e9 + random.uniform(-50, 50))
    if not steady:
        pods["kept"] = [container("a"), container("b", housekept=True)]
        made.jumps = [(random.uniform(0, 300), random.choice([-40.0, -1.5, 2.0, 90.0]))]
    return made


def disturb(random, simulated, at):
    """Restart a container, recreate a pod, set a counter back, let a container come or a pod go."""
    name = random.choice(sorted(simulated.pods))
    event = random.choice(["restart", "recreate", "leave", "come", "fewer", "back"])
    fresh = SimStat("a", Load((at - 5.0, 2e8)), start=at - 5.0)
    if event == "restart":
        simulated.pods[name][0] = fresh
    elif event == "recreate":
        simulated.uids[name] = f"{name}-at-{at}"
        simulated.pods[name] = [fresh]
    elif event == "back":
        first = simulated.pods[name][0]
        first.load = Load((at - 5.0, 2e8))
    elif event == "fewer" and len(simulated.pods[name]) > 1:
        simulated.pods[name] = simulated.pods[name][:-1]
    elif event == "leave" and len(simulated.pods) > 1:
        del simulated.pods[name]
    elif event == "come":
        simulated.pods[name] = [*simulated.pods[name], SimStat(f"c{at:.0f}", Load((at - 5.0, 1e8)))]


def vary(random, sample, *, steady):
    """Let a sample say what the simulation does not: any order, swap, files, what stands still."""
    with_swap, with_files = random.random() < 0.6, random.random() < 0.6
    if with_swap:
        sample.stats.swap = SwapStats(random.choice([0, 2**30]), 4096)
    for pod in sample.pods:
        random.shuffle(pod.containers)
        for one in pod.containers:
            one.memory.working_set_bytes = random.randrange(2**40)
            if with_swap:
                one.swap = SwapStats(2**30, random.choice([None, 0, 8192]))
            if with_files:
                one.rootfs, one.logs = DiskStats(random.choice([None, 4096])), DiskStats(4096)
    for one in [] if steady else sample.pods[0].containers:
        one.memory.time, one.memory.working_set_bytes = STILL, 4096
    random.shuffle(sample.pods)
    disorder(random, sample)


def disorder(random, sample):
    """Now and then, leave out what a kubelet always tells, or list a pod or container twice."""
    odd = random.randrange(40)
    at = random.randrange(len(sample.pods) + 1)
    pod = random.choice(sample.pods)
    if odd < 2:
        pod.containers[0].cpu = None if odd else CpuStats(STILL, 0, 2**64 - 1)
    elif odd == 2:
        sample.pods.insert(at, pod)
    elif odd == 3:  # a pod that is listed twice, once without one of its containers
        sample.pods.insert(at, PodStats(pod.pod_ref, pod.containers[:1]))
    elif odd == 4:  # two pods of one uid
        ref = PodRef("other", "ns", pod.pod_ref.uid)
        sample.pods.insert(at, PodStats(ref, deepcopy(pod.containers)))
    elif odd == 5:  # two pods of one name
        start = random.choice([pod.containers[0].start_time, BEFORE, AFTER])
        sample.pods.append(other := deepcopy(pod))
        other.pod_ref = PodRef(pod.pod_ref.name, "ns", "another")
        other.containers[0].start_time = start
    elif odd == 6:
        pod.containers[-1] = deepcopy(pod.containers[0])
        pod.containers[-1].cpu.usage_core_nano_seconds += random.choice([0, 10**9])
    elif odd == 7:  # no name that an API server would take
        sample.pods.append(PodStats(PodRef("Pod!", "ns", "u"), pod.containers))
    elif odd == 8:  # a pod that is listed twice, first without its usage
        bare = [ContainerStats(one.name, one.start_time) for one in pod.containers]
        sample.pods.insert(0, PodStats(pod.pod_ref, bare))


def all_of(store, now):
    """All that can be asked of a store."""
    readings = list(store.readings(now))
    pods = sorted({(one.namespace, one.pod) for one in readings if one.pod})
    usages = [store.pod_usage(*pod, now) for pod in pods]
    return readings, usages, store.node_usage(NODE, now), store.holding(NODE)


@settings(max_examples=300)
@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_both_ways_give_the_same_whatever_happens(seed, exact, steady):
    random = Random(seed)
    simulated = kubelet(random, steady=steady)
    quick, thorough = MetricsStore(max_age=60.0), MetricsStore(max_age=60.0)
    for at in scrapes(random, TURNS, PERIOD, exact=exact):
        if random.random() < 0.4:
            disturb(random, simulated, at)
        body, times = simulated.answer(at)
        for repeated in range(1 + (random.random() < 0.1)):
            now = times["answered_at"] + repeated
            sample = decode_summary(NODE, body, **{**times, "answered_at": now})
            vary(random, sample, steady=steady)
            quick.put(sample)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Columns, "admit", admits_none)
                thorough.put(sample)
            if random.random() < 0.7:  # usage is made when it is asked for, and not each time
                assert all_of(quick, now) == all_of(thorough, now)


def test_a_steady_node_goes_the_quick_way_from_its_fourth_answer_on(monkeypatch):
    left = []
    take = Columns.take

    def noted(*arguments):
        left.append(take(*arguments))
        return left[-1]

    monkeypatch.setattr(Columns, "take", noted)
    random = Random(1)
    simulated, store = kubelet(random, steady=True), MetricsStore(max_age=60.0)
    for turn, at in enumerate(scrapes(random, TURNS, PERIOD, exact=True)):
        left.clear()
        body, times = simulated.answer(at)
        store.put(decode_summary(NODE, body, **times))
        if turn >= 3:
            assert left == [[]]
