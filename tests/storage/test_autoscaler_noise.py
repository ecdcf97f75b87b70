"""What an HPA does about noise: additional reads of a node make it scale up no more.

It scales up without stabilization and down after five minutes, so that noise in usage whose mean is
constant means more replicas for ever. A simulated HPA with a target of the true mean is asked for
pods with bursty load, every 15 s and a little, and each pod is read at times of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from itertools import accumulate, pairwise
from math import ceil
from random import Random
from statistics import fmean, pvariance
from typing import NamedTuple

import pytest

from metricsapi.storage.store import MetricsStore
from tests.storage.simulation import NODE, Load, SimKubelet, SimStat
from tests.support.decoding import decode_summary

PERIOD = 15.0
UNTIL = 3000.0
SEEDS = range(8)
PODS = 5  # so that it is known that they are read at request time
TOLERANCE, STABILIZATION = 0.1, 300.0
CORE = 10**9


class Bursts(Load):
    """A load that is a core for `on` seconds in the mean, and nothing for `off` seconds."""

    def __init__(self, random, on, off):
        self.mean, rates, times = CORE * on / (on + off), [], [-50.0]
        while times[-1] < UNTIL:
            rates.append(CORE - (rates[-1] if rates else random.choice([0, CORE])))
            times.append(times[-1] + random.expovariate(1 / (on if rates[-1] else off)))
        spans = pairwise(times)
        used = [rate * (end - begin) for rate, (begin, end) in zip(rates, spans, strict=True)]
        self._times, self._rates, self._used = times, rates, [0.0, *accumulate(used)]
        super().__init__((-1e3, CORE))

    def counter(self, at):
        if at <= self._times[0]:
            return max(0.0, at + 1000.0) * CORE
        index = bisect_right(self._times, at) - 1
        since = self._rates[index] * (at - self._times[index])
        return 950.0 * CORE + self._used[index] + since


class Result(NamedTuple):
    replicas: float  # in the mean
    changes: int
    rates: list[float]  # that were served when the HPA asked, each divided by the true mean


class Autoscaler:
    """The HPA's rules; the load that there is divides into as many parts as there are replicas."""

    def __init__(self):
        self.replicas, self.changes, self.history = PODS, 0, []
        self._wanted = []

    def ask(self, at, usage):
        ratio = usage * PODS / self.replicas
        near = abs(ratio - 1.0) <= TOLERANCE
        wanted = self.replicas if near else ceil(ratio * self.replicas - 1e-9)
        self._wanted = [(t, w) for t, w in self._wanted if t > at - STABILIZATION] + [(at, wanted)]
        if wanted < self.replicas:
            wanted = min(self.replicas, max(w for _, w in self._wanted))
        self.changes += wanted != self.replicas
        self.replicas = max(1, wanted)
        self.history.append(self.replicas)


def run(seed, schedule, on, off):
    """Serve one HPA's pods, all on one node that is read as `schedule` says."""
    random = Random(seed)
    loads = [Bursts(random, on, off) for _ in range(PODS)]
    node = SimStat(NODE, Load((-1e3, CORE)), ticks=[-20.0 + 10 * i for i in range(400)])
    pods = {f"pod-{i}": [SimStat("c", load)] for i, load in enumerate(loads)}
    simulated, store = SimKubelet(random, node, pods), MetricsStore(max_age=60.0, period=PERIOD)
    count = int(UNTIL / (PERIOD + 0.1))
    queries = [20.0 + number * (PERIOD + 0.05) for number in range(count)]
    reads = schedule(Random(seed + 1000), queries)
    autoscaler, rates = Autoscaler(), []
    for at, is_query in sorted([(at, False) for at in reads] + [(at, True) for at in queries]):
        if not is_query:
            body, times = simulated.answer(at)
            store.put(decode_summary(NODE, body, **times))
            continue
        usages = [store.pod_usage("ns", name, at) for name in pods]
        served = [usage.containers[0].cpu / loads[0].mean for usage in usages if usage]
        if at > 5 * PERIOD:  # from then on the node's clock is known
            rates += served
            autoscaler.ask(at, fmean(served))
    return Result(fmean(autoscaler.history), autoscaler.changes, rates)


def periodic(random, queries):
    first = random.uniform(1.0, PERIOD)
    return [first + PERIOD * number for number in range(len(queries))]


def before_each_query(_random, queries):
    return [at - 0.5 for at in queries]


def periodic_and_before_each_query(random, queries):
    return [*periodic(random, queries), *before_each_query(random, queries)]


def a_fourth_more(random, queries):
    """Those that prefetching may add by default, for a second HPA that asks at other times."""
    after = random.uniform(1.0, PERIOD - 1.0)
    return [*before_each_query(random, queries), *(at + after for at in queries[::4])]


def every_five_seconds(random, queries):
    first = random.uniform(1.0, 5.0)
    return [first + 5.0 * number for number in range(3 * len(queries))]


def every_twelve_seconds(random, queries):
    """As many as prefetching makes at most, at even times: no window can be a period long."""
    first = random.uniform(1.0, 12.0)
    return [first + 12.0 * number for number in range(int(len(queries) * 1.25))]


class Outcome(NamedTuple):
    """Of many runs: mean and variance of the served rates, replicas and their changes in a run."""

    mean: float
    variance: float
    replicas: float
    changes: float


@cache
def outcome(schedule, on, off):
    runs = [run(seed, schedule, on, off) for seed in SEEDS]
    rates = [rate for each in runs for rate in each.rates]
    replicas = fmean(each.replicas for each in runs)
    return Outcome(fmean(rates), pvariance(rates), replicas, fmean(each.changes for each in runs))


@pytest.mark.parametrize(
    "schedule",
    [before_each_query, periodic_and_before_each_query, a_fourth_more, every_five_seconds],
)
@pytest.mark.parametrize(("on", "off"), [(2.0, 6.0), (10.0, 20.0)])
def test_additional_reads_mean_no_more_replicas_and_no_more_changes(schedule, on, off):
    """But for what chance does: reads at other times see other parts of the same load.

    If the rate ran from the newest reading that is 10 s old, the variance would be greater by two
    fifths with reads every 5 s, and the replicas more by a twelfth.
    """
    plain, more = outcome(periodic, on, off), outcome(schedule, on, off)
    assert (plain.mean, more.mean) == pytest.approx((1.0, 1.0), abs=0.02)
    assert more.variance <= 1.03 * plain.variance
    assert more.replicas <= 1.02 * plain.replicas
    assert more.changes <= 1.1 * plain.changes


def test_where_no_window_can_be_a_period_long_it_is_longer_and_means_no_more_replicas():
    plain, more = outcome(periodic, 2.0, 6.0), outcome(every_twelve_seconds, 2.0, 6.0)
    assert more.variance <= plain.variance
    assert more.replicas <= plain.replicas
