"""A simulated kubelet that says everything a kubelet may say, true or not, in one answer.

What is served is within 1 % of the truth or absent, and what the answers determine is served.
"""

from __future__ import annotations

import json
from collections import Counter
from math import inf
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metricsapi.kube.resources import Capacity
from metricsapi.storage.cluster import UnknownCluster
from metricsapi.storage.store import MetricsStore
from tests.storage.simulation import (
    EPOCH,
    NODE,
    Load,
    SimKubelet,
    SimStat,
    housekeeping,
    scrapes,
)
from tests.support.decoding import decode_summary

CORE = 10**9
CORES = 8
ANSWERS = 12
PERIOD = 15.0
LATEST = ANSWERS * (PERIOD + 10)

# What a container's kubelet says of it. The true kinds are read at request time or by housekeeping.
TRUE = ("request", "request", "request", "housekept")
HONEST = ("idle", "only-rate", "split", "after-init", "restarts")
FALSE = ("zeros", "memory", "zero-memory", "zero-counter")  # which determine nothing
DOUBTFUL = ("no-rate", "rate-of-22", "rate-of-300000", "negative-rate")  # but for the counter
KINDS = st.lists(st.sampled_from(TRUE + HONEST + FALSE + DOUBTFUL), min_size=3, max_size=12)


class Cluster(UnknownCluster):
    def capacity(self, _node):
        return Capacity(CORES * CORE, 16 * 2**30)


class Kubelet(SimKubelet):
    """Each pod has the kind that its name begins with."""

    def sample(self, at, takes):
        body, exchange = self.answer(at, takes=takes)
        summary = json.loads(body)
        pods = []
        for pod in summary["pods"]:
            kind = pod["podRef"]["name"].partition(".")[0]
            pods += getattr(self, "_" + kind.replace("-", "_"), self._as_it_is)(pod)
        self.random.shuffle(pods)
        summary["pods"] = pods
        return decode_summary(NODE, json.dumps(summary).encode(), **exchange)

    def _as_it_is(self, pod):
        return [pod]

    @staticmethod
    def _set(pod, **numbers):
        (container, *_) = pod["containers"]
        for name, value in numbers.items():
            part = container["memory" if name == "workingSetBytes" else "cpu"]
            part[name] = value
        return [pod]

    def _only_rate(self, pod):
        return self._set(pod, usageCoreNanoSeconds=None)

    def _split(self, pod):
        older = json.loads(json.dumps(pod))
        (container,) = older["containers"]
        older["containers"] = self.random.choice([[], [{"name": container["name"]}]])
        return [older, pod]

    def _after_init(self, pod):
        (container,) = pod["containers"]
        cpu = {**container["cpu"], "usageNanoCores": 0, "usageCoreNanoSeconds": 0}
        zeros = {"cpu": cpu, "memory": {**container["memory"], "workingSetBytes": 0}}
        start = self._iso(-2000.0 + self.offset)
        pod["containers"].append({"name": "init", "startTime": start, **zeros})
        return [pod]

    def _zeros(self, pod):
        return self._set(pod, usageNanoCores=0, usageCoreNanoSeconds=0, workingSetBytes=0)

    def _memory(self, pod):
        return self._set(pod, workingSetBytes=self.random.choice([2**64 - 4096, 2**35, -1]))

    def _zero_memory(self, pod):
        return self._set(pod, workingSetBytes=0)

    def _zero_counter(self, pod):
        return self._set(pod, usageCoreNanoSeconds=0)

    def _no_rate(self, pod):
        return self._set(pod, usageNanoCores=None)

    def _rate_of_22(self, pod):
        return self._set(pod, usageNanoCores=22 * CORE)

    def _rate_of_300000(self, pod):
        return self._set(pod, usageNanoCores=300_000 * CORE)

    def _negative_rate(self, pod):
        return self._set(pod, usageNanoCores=-1)


def kubelet(random, kinds):
    def container(kind):
        rate = 0.0 if kind == "idle" else random.uniform(1e7, 4e9)
        load = Load((-1e6, 1e9), (-1000.0, rate)) if kind == "idle" else Load((-1e6, rate))
        ticks = housekeeping(random, LATEST) if kind == "housekept" else []
        return SimStat("c", load, ticks=ticks)

    pods = {f"{kind}.{number}": [container(kind)] for number, kind in enumerate(kinds)}
    node = SimStat(NODE, Load((-1e6, 5e9)), ticks=housekeeping(random, LATEST))
    skew = random.choice([0.0, 0.37, -119.6, 3600.2, -1e6])
    return Kubelet(random, node, pods, offset=EPOCH + skew)


def restart(random, simulated, at, read_until):
    """Restart some containers before `at`, but after they were read the last time."""
    for name, (container,) in simulated.pods.items():
        if name.startswith("restarts") and random.random() < 0.3:
            began = max(read_until, at - random.uniform(1.0, 10.0))
            rate = container.load.steps[-1][1]
            simulated.pods[name] = [SimStat("c", Load((began, rate)), start=began)]


def allowed(kind, window):
    """How far a rate may be off: 1 %, or a second of its window where only a counter tells."""
    return max(0.01, 1.0 / window) if kind in DOUBTFUL else 0.01


def determined(kind, container, number):
    """Return whether the answers so far determine what is used."""
    if kind in FALSE:
        return False
    if kind in DOUBTFUL or kind in {"housekept", "restarts"}:
        return number >= 1 and container.start < -100.0
    return True


# One from housekeeping that agrees twice by chance with those that are read at request time.
AGREES_BY_CHANCE = [*["request"] * 2, "housekept", *["request"] * 3, "housekept", *["request"] * 5]


@settings(max_examples=60, deadline=None)
@example(8184, AGREES_BY_CHANCE, "quick")
@given(st.integers(0, 2**32), KINDS, st.sampled_from(["quick", "slow", "both"]))
def test_served_is_within_a_percent_of_the_truth_or_absent(seed, kinds, pace):
    random = Random(seed)
    simulated = kubelet(random, kinds)
    store = MetricsStore(max_age=60.0, cluster=Cluster())
    count, now = Counter(), -inf
    for number, at in enumerate(scrapes(random, ANSWERS, PERIOD, exact=random.random() < 0.5)):
        restart(random, simulated, at, now)
        slow = pace == "slow" or (pace == "both" and random.random() < 0.5)
        sample = simulated.sample(at, random.uniform(1.0, 9.0) if slow else 0.05)
        store.put(sample)
        now = sample.answered_at
        for name, (container,) in simulated.pods.items():
            kind = name.partition(".")[0]
            usage = store.pod_usage("ns", name, now)
            count["determined"] += determined(kind, container, number)
            if usage is None:
                continue
            assert kind not in FALSE, kind
            count["served"] += determined(kind, container, number)
            (served,) = usage.containers
            assert 0 < usage.window < 60
            error = allowed(kind, usage.window)
            least, most = means(container.load, at, now, usage.window)
            assert least * (1 - error) <= served.cpu <= most * (1 + error), kind
        node = store.node_usage(NODE, now)
        assert node.cpu == pytest.approx(5e9, rel=0.01)
    assert count["served"] >= 0.99 * count["determined"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_a_changing_load_is_the_mean_of_a_window_that_ends_within_the_exchange(seed):
    """Of containers that are read at request time, once that is known."""
    random = Random(seed)
    loads = [
        Load(
            (-1e6, random.uniform(1e7, 4e9)),
            *((random.uniform(0, 200), random.uniform(1e7, 4e9)) for _ in range(8)),
        )
        for _ in range(6)
    ]
    pods = {f"request.{i}": [SimStat("c", load)] for i, load in enumerate(loads)}
    node = SimStat(NODE, Load((-1e6, 5e9)), ticks=housekeeping(random, LATEST))
    simulated = Kubelet(random, node, pods, offset=EPOCH + random.uniform(-50, 50))
    store = MetricsStore(max_age=60.0, cluster=Cluster())
    for number, at in enumerate(scrapes(random, ANSWERS, PERIOD, exact=False)):
        sample = simulated.sample(at, 0.05)
        store.put(sample)
        for name, (container,) in pods.items():
            if number < 4:
                continue
            usage = store.pod_usage("ns", name, sample.answered_at)
            least, most = means(container.load, at, sample.answered_at, usage.window)
            highest = max(rate for _, rate in container.load.steps)
            edge = highest * (sample.answered_at - at) / usage.window  # of a step at its beginning
            assert least * 0.99 - edge <= usage.containers[0].cpu <= most * 1.01 + edge


def means(load, asked, answered, window):
    """Return the least and the most of the mean rates of all windows that end in an exchange."""
    ends = [asked + part * (answered - asked) / 20 for part in range(21)]
    rates = [(load.counter(end) - load.counter(end - window)) / window for end in ends]
    return min(rates), max(rates)
