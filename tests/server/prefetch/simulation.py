"""Nodes, callers and the scraper pool's schedule in simulated time, around the real planner.

Queries come when a caller's iterator of times says so. Each node is scraped when the planner says,
and its usage is as old as its last scrape that has ended.
"""

import heapq
import itertools
import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from metricsapi.api.queries import Kind, Query
from metricsapi.server.prefetch.learner import Learner
from metricsapi.server.prefetch.planner import QueryPlanner
from metricsapi.server.prefetch.prefetcher import TIDY

PERIOD, SHORTEST = 15.0, 5.0


def query(name="web", user="hpa", namespace="default"):
    """Return a query with a label selector, as the HPA controller makes it."""
    return Query(user, namespace, f"app={name}", Kind.SELECTOR)


def every(interval, first, rng, spread=0.3):
    """Yield the times of a controller's queries: its queue adds up to `spread` to each interval."""
    at = first
    while True:
        yield at
        at += interval + rng.random() * spread


@dataclass
class Caller:
    """Who asks for what when, and the nodes that host it."""

    query: Query
    times: Iterator[float]
    nodes: tuple[str, ...] = ("node",)
    ages: list[tuple[float, float]] = field(default_factory=list)  # when asked, and how old


class Simulation:
    """The nodes of `callers` and others, scraped until a time."""

    def __init__(
        self,
        callers,
        *,
        nodes=("node",),
        exact=True,
        answer=0.1,
        wanted=None,
        prefetch=True,
        period=PERIOD,
        shortest=SHORTEST,
    ):
        self.now = 0.0
        self.scrapes = defaultdict(list)  # by node: when they began
        self.counts = [0, 0]  # expected queries that came, and that were missed
        self.learner = Learner(self._count, lambda known: self.planner.set_nodes(known, ()))
        self.planner = QueryPlanner(
            period,
            shortest,
            clock=lambda: self.now,
            exact=lambda _: exact,
            answer_time=lambda _: answer,
            wanted=wanted or (lambda _node, _last: ()),
        )
        self._period = period
        self._answer = answer
        self._prefetch = prefetch
        self._numbers = itertools.count()
        self._events = []
        self._planned = {}
        self.callers = []
        for name in nodes:
            self.call_at(0.0, self._scrape, name, 0.0)
        for caller in callers:
            self.add(caller)
        self.call_at(TIDY, self._tidy)

    def add(self, caller):
        """Let a caller ask from now on."""
        self.callers.append(caller)
        self._ask_next(caller)

    def run(self, until):
        """Let time go on until then."""
        while self._events and self._events[0][0] <= until:
            at, _, act, args = heapq.heappop(self._events)
            self.now = max(self.now, at)
            act(*args)
        self.now = until
        return self

    def stop(self, seconds):
        """Let time go on without the process: what was due meanwhile is late."""
        self.now += seconds

    def reads(self, since=0.0, node="node"):
        """Return how often a node was scraped in a period, on average after a time until now."""
        return sum(at > since for at in self.scrapes[node]) * self._period / (self.now - since)

    def gaps(self, node="node"):
        """Return the seconds between a node's scrapes."""
        return [later - earlier for earlier, later in itertools.pairwise(self.scrapes[node])]

    def ages(self, *callers, since=0.0):
        """Return the ages of usage at queries after a time: of all callers, or of these."""
        return [age for caller in callers or self.callers for at, age in caller.ages if at >= since]

    def call_at(self, at, act, *args):
        """Call `act(*args)` at a time."""
        heapq.heappush(self._events, (at, next(self._numbers), act, args))

    def _count(self, came, missed):
        self.counts[0] += came
        self.counts[1] += missed

    def _tidy(self):
        for _ in self.learner.forget_stopped(self.now):
            pass
        self.call_at(self.now + TIDY, self._tidy)

    def _scrape(self, node, planned):
        if self._planned.get(node, planned) != planned:
            return  # superseded
        self.scrapes[node].append(self.now)
        self.plan(node)

    def plan(self, node):
        """Ask the planner for a node's next scrape."""
        last = self.scrapes[node][-1]
        periodic = (last // self._period + 1) * self._period
        if periodic - last < self._period / 3:
            periodic += self._period
        at = periodic
        if self._prefetch:
            at = self.planner.next_scrape(node, last, periodic).at
        assert last < at <= last + 1.5 * self._period
        at = self._planned[node] = max(self.now, at)
        self.call_at(at, self._scrape, node, at)

    def _ask_next(self, caller):
        at = next(caller.times, None)
        if at is not None:
            self.call_at(at, self._ask, caller)

    def _ask(self, caller):
        for node in caller.nodes:
            scrapes = self.scrapes[node]
            ended = bisect_right(scrapes, self.now - self._answer)
            if ended:
                read = scrapes[ended - 1] + self._answer / 2
                caller.ages.append((self.now, self.now - read))
        known = self.learner.observe(caller.query, self.now)
        if known is not None and self._prefetch:
            self.planner.came()
            follows = self.planner.follows(known)
            self.planner.set_nodes(known, caller.nodes if follows else ())
            for node in list(self.planner.waiting(known)):
                self.plan(node)
        self._ask_next(caller)


def controllers(count, seed, interval=PERIOD):
    """Return so many callers at random phases, as HPAs of pods on one node are."""
    rng = random.Random(seed)
    return [
        Caller(query(f"app-{i}"), every(interval, rng.random() * interval, rng))
        for i in range(count)
    ]
