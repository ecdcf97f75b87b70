"""Prefetch put together: from the queries that clients ask to the next scrape of each node.

queries → `learner` → `hosts` → `planner` → the scraper pool. What a query changes is planned by a
task of its own, so no query waits for it. Pods that start come to the planner by `starts`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from metricsapi.api.catalog import Catalog
from metricsapi.api.entries import Entry
from metricsapi.api.queries import Query
from metricsapi.kube.progress import Progress, unobserved, wait_for
from metricsapi.kube.resources import Node, Pod
from metricsapi.kube.slices import in_slices
from metricsapi.scrape.node_state import NodeState
from metricsapi.scrape.parts import Store
from metricsapi.server.prefetch.hosts import UNKNOWN, HostFinder
from metricsapi.server.prefetch.learner import Learner, RememberedQuery
from metricsapi.server.prefetch.planner import QueryPlanner
from metricsapi.server.prefetch.starts import Pods, Starts
from metricsapi.storage.store import MetricsStore

TIDY = 15.0  # seconds between two searches for queries that have stopped
# Pairs of a query and a node that hosts its pods, for one user and in all. Every one takes some 16
# bytes. 15,000 HPAs with 30 pods each have 450,000.
PAIRS_PER_USER = 500_000
PAIRS = 2 * PAIRS_PER_USER


class Pool(Protocol):
    """Scrapes nodes when the planner says: `ScraperPool`."""

    states: dict[str, NodeState]

    def replan(self, node: str) -> None: ...


class Prefetcher:
    """Observes queries, and has nodes planned again when it knows better when they come.

    `attach` names what scrapes by its `planner`. `period` and `min_interval` are
    --metric-resolution and --min-scrape-interval in seconds; `clock` gives monotonic seconds;
    `counted` is called with how many expected queries came (0 or 1) and were missed, `forward` with
    each query that this replica gets.
    """

    def __init__(
        self,
        catalog: Catalog,
        pods: Pods,
        store: MetricsStore,
        *,
        period: float,
        min_interval: float,
        clock: Callable[[], float] = time.monotonic,
        counted: Callable[[int, int], None] = lambda _came, _missed: None,
        forward: Callable[[Query, float], None] = lambda _query, _at: None,
    ) -> None:
        self._starts = Starts(pods, period=period, min_interval=min_interval, clock=clock)
        self.planner = QueryPlanner(
            period,
            min_interval,
            clock=clock,
            exact=store.read_at_request,
            answer_time=self._answer_time,
            wanted=self._starts.wanted,
        )
        self._pool: Pool | None = None
        self._store = store
        self._clock = clock
        self._forward = forward
        self._hosts = HostFinder(catalog.pods, self._node_of)
        pods.subscribe(self._hosts.pod_changed)
        self._learner = Learner(counted, self._forget)
        self._changed: dict[RememberedQuery, None] = {}
        self._pairs: Counter[str] = Counter()  # of a query and a node, by user
        self._wake = asyncio.Event()

    def attach(self, pool: Pool) -> None:
        """Have nodes planned again by this pool."""
        self._pool = pool
        self._starts.attach(pool)

    def node_changed(self, old: Node | None, new: Node | None) -> None:
        """Follow one event of the nodes informer: what is known of a node ends with it."""
        if new is None and old is not None:
            self.planner.forget_node(old.name)

    def noting(self, store: Store) -> Store:
        """Return a store that also notes which pods the answers of kubelets list."""
        return self._starts.noting(store)

    @property
    def remembered(self) -> int:
        """How many queries are remembered."""
        return len(self._learner)

    def query_received(self, query: Query) -> None:
        """Note a query that this replica gets."""
        now = self._clock()
        if self._observed(query, now):
            self._forward(query, now)

    def entries_sent(self, query: Query, entries: Sequence[Entry]) -> None:
        """Do nothing: when a node is scraped depends on queries alone."""

    def observe(self, query: Query, at: float) -> None:
        """Note a query that came at `at`, to this replica or to another one."""
        self._observed(query, at)

    def _observed(self, query: Query, at: float) -> bool:
        """Note a query; return whether it is remembered, and not the same as one just before."""
        known = self._learner.observe(query, at)
        if known is None:
            return False
        if known.rhythm.regular or known.nodes:
            self.planner.came()
            self._changed[known] = None
            self._wake.set()
        return True

    async def run(self, progress: Progress = unobserved) -> None:
        """Plan for what has changed, and forget queries that have stopped, until cancelled."""
        tidied = time.monotonic()
        self._wake.set()  # for what an earlier run has left
        while True:
            progress()
            await wait_for(self._wake, TIDY)
            self._wake.clear()
            async for _ in in_slices(self._planning()):
                progress()
            if time.monotonic() - tidied >= TIDY:
                tidied = time.monotonic()
                async for _ in in_slices(self._learner.forget_stopped(self._clock())):
                    progress()

    def _planning(self) -> Iterator[None]:
        """Plan for what has changed so far; more may change meanwhile."""
        for _ in range(len(self._changed)):
            if not self._changed:  # what was left was forgotten meanwhile
                return
            known = next(iter(self._changed))
            del self._changed[known]
            if self.planner.follows(known):
                yield from self._plan(known)
            elif known.nodes:  # it is regular no longer, and takes no other query's place
                self._set_nodes(known, ())
                known.version = UNKNOWN

    def _plan(self, known: RememberedQuery) -> Iterator[None]:
        if known.version != self._hosts.version(known.query):
            hosts = yield from self._hosts.find(known.query, self._clock())
            if not self.planner.follows(known):  # it was forgotten meanwhile
                return
            known.version = hosts.version
            self._set_nodes(known, hosts.nodes)
        for node in self.planner.waiting(known):
            if self._pool is not None:
                self._pool.replan(node)
            yield

    def _set_nodes(self, known: RememberedQuery, nodes: Sequence[str]) -> None:
        """Note the hosts of a query; none if those of its user's queries are too many."""
        user = known.query.user
        self._pairs[user] -= len(known.nodes)
        if self._pairs[user] + len(nodes) > PAIRS_PER_USER or self._pairs.total() > PAIRS:
            nodes = ()
        self.planner.set_nodes(known, nodes)
        self._pairs[user] += len(nodes)
        if not self._pairs[user]:
            del self._pairs[user]

    def _forget(self, known: RememberedQuery) -> None:
        self._set_nodes(known, ())
        self._changed.pop(known, None)

    def _answer_time(self, node: str) -> float:
        state = self._pool.states.get(node) if self._pool is not None else None
        return state.usual_time if state is not None else 0.0

    def _node_of(self, pod: Pod) -> str:
        if pod.node:
            return pod.node
        stored = self._store.pod(pod.namespace, pod.name)
        return stored.node if stored is not None else ""
