"""When the HPA counts a pod that starts: queries and young pods together, in simulated time.

It counts a pod once the whole window of its usage lies after it became ready, in whole seconds.
"""

import math
import random

import pytest

from metricsapi.server.prefetch.young_pods import YoungPods
from tests.server.prefetch.simulation import (
    PERIOD,
    SHORTEST,
    Caller,
    Simulation,
    every,
    query,
)
from tests.server.prefetch.test_young_pods import listed, pod, sample

ANSWER, READY = 0.05, 4.0  # seconds that a kubelet takes, and from the start of a pod until Ready
SHORTEST_WINDOW = 10.0  # seconds, of a young pod


class Starting(Simulation):
    """A node on which pods start, scraped for one HPA; requests are up to `late` seconds late."""

    def __init__(self, seed, late):
        self._rng = random.Random(seed)
        self.young = YoungPods(min_interval=SHORTEST, period=PERIOD)
        self.requests, self.began = [], {}
        hpa = Caller(query(), every(PERIOD, self._rng.random() * PERIOD, self._rng))
        self._late = late
        super().__init__([hpa], answer=ANSWER, wanted=self.young.wanted)

    def start(self, name, at):
        self.began[name] = at
        unready, ready = pod(name, "node", ready=False), pod(name, "node", ready=True)
        self.call_at(at, self._pod_changed, None, unready)
        self.call_at(at + READY, self._pod_changed, unready, ready)

    def counted(self, name):
        """Return when the HPA first counts a pod, and its first query 12 s or more after Ready."""
        ready = self.began[name] + READY
        queries = [at for at, _ in self.callers[0].ages if at >= ready]
        counted = next(at for at in queries if self._begins(name, at) >= math.floor(ready))
        return counted, next(at for at in queries if at >= ready + 12.0)

    def _begins(self, name, now):
        """Return when the window of a pod's usage begins by its whole-second timestamp."""
        read = [at for at in self.requests if self.began[name] <= at <= now - ANSWER]
        if len(read) < 2:
            return -math.inf
        last, begins = read[-1], [at for at in read if read[-1] - at >= SHORTEST_WINDOW]
        return math.floor(last) - (last - (begins[-1] if begins else read[0]))

    def _pod_changed(self, old, new):
        self.young.pod_changed(old, new, self.now)
        self.plan("node")

    def _scrape(self, node, planned):
        scrapes = len(self.scrapes[node])
        super()._scrape(node, planned)
        if len(self.scrapes[node]) > scrapes:
            requested = self.now + self._rng.random() * self._late
            self.call_at(requested + ANSWER, self._answered, node, requested)

    def _answered(self, node, requested):
        self.requests.append(requested)
        names = [name for name, at in self.began.items() if at <= requested]
        if self.young.scraped(sample(requested, *map(listed, names), node=node)):
            self.plan(node)


@pytest.mark.parametrize("late", [0.0, 0.1, 0.3])
def test_a_pod_is_counted_by_the_first_query_twelve_seconds_after_it_became_ready(late):
    for seed in range(60):
        simulation = Starting(seed, late)
        simulation.start("pod", random.Random(-1 - seed).uniform(150.0, 270.0))
        counted, first = simulation.run(350.0).counted("pod")
        assert counted <= first


def test_of_pods_that_start_close_to_each_other_nearly_all_are_counted_as_soon():
    """Not those that become ready just after a scrape for another: the next one is 5 s later."""
    soon, reads = [], []
    for seed in range(60):
        rng, simulation = random.Random(seed), Starting(seed, 0.1)
        for number in range(3):
            simulation.start(f"pod-{number}", rng.uniform(150.0, 270.0))
        simulation.run(350.0)
        times = [simulation.counted(name) for name in simulation.began]
        soon += [counted <= first for counted, first in times]
        scrapes = [at for at in simulation.scrapes["node"] if 150.0 <= at < 285.0]
        reads.append(len(scrapes) * PERIOD / 135.0)
    assert sum(soon) >= 0.95 * len(soon)
    assert max(reads) <= 2.0
