"""Says when each node is scraped next: shortly before the queries that are expected of it."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import attrgetter

from metricsapi.scrape.parts import Plan, Reason
from metricsapi.server.prefetch.choice import Choice, Moment, Node, choose, time_for_starts
from metricsapi.server.prefetch.learner import RememberedQuery
from metricsapi.server.prefetch.limits import Limits
from metricsapi.storage.windows import KEPT

# Scrapes a period, and how many of them are saved at most. The start of a pod takes up to three.
BUDGET, MOST = 1.25, 3  # of a node whose stats are made when they are asked for
PLAIN_BUDGET, PLAIN_MOST = 1.0, 2  # of any other: more would give the same readings again
# Queries of one node that are expected soon, and those among which they are looked for, since
# others may come once in minutes. With more, there is hardly half a second between two.
SOON_EXPECTED, LOOKED_THROUGH = 32, 256

LONGEST_QUERY_SHOWN = 200  # characters: /statusz shows one for each node
CHOICE_HOLDS = 0.05  # seconds for which a choice is good for other nodes
# Seconds of which moments are multiples: nodes that are read together cost less CPU than as many
# apart. Usage is half of it older in the mean.
MOMENT_STEP = 0.1
ANSWER_STEP = 0.05  # seconds: nodes that take about as long are planned together

_age = attrgetter("caller", "number")


class QueryPlanner:
    """The planner of the scraper pool with prefetch. Times are monotonic seconds, as of `clock`.

    `period` and `shortest` are --metric-resolution and --min-scrape-interval in seconds. Of a node,
    `exact` tells whether its stats are made at request time, `answer_time` how many seconds a
    scrape takes, and `wanted` when scrapes after the last one are wanted since pods have started.
    """

    def __init__(
        self,
        period: float,
        shortest: float,
        *,
        clock: Callable[[], float],
        exact: Callable[[str], bool],
        answer_time: Callable[[str], float],
        wanted: Callable[[str, float], Sequence[float]] = lambda _node, _last: (),
    ) -> None:
        self._clock = clock
        self._exact = exact
        self._answer_time = answer_time
        self._wanted = wanted
        self._limits = Limits(period, shortest, BUDGET, MOST)
        self._plain_limits = Limits(period, shortest, PLAIN_BUDGET, PLAIN_MOST)
        self._queries: dict[str, list[RememberedQuery]] = {}  # of each node, the oldest first
        # The last scrapes of each node, and the budget after them.
        self._levels: dict[str, tuple[tuple[float, ...], int]] = {}
        self._choices: dict[str, Choice] = {}  # of the nodes that are scraped next for a query
        self._waiting: defaultdict[RememberedQuery, set[str]] = defaultdict(set)
        # Choices by what they depend on, as long as no query has come.
        self._shared: dict[tuple[object, ...], Choice] = {}
        self._shared_until = -math.inf
        self._unbudgeted: set[str] = set()  # nodes whose next scrape is for pods that start

    def next_scrape(self, node: str, last: float, periodic: float) -> Plan:
        """Return the next scrape of a node that was last due at `last`.

        It is `periodic` where no query is expected of the node and no pod has started.
        """
        self._set_choice(node, None)
        queries = self._queries.get(node)
        wanted = min([at for at in self._wanted(node, last) if at > last], default=None)
        if not queries and wanted is None:
            if node in self._levels:
                self._state(node, last)
            return Plan(periodic, Reason.PERIODIC)
        state = self._state(node, last)
        choice = Choice(periodic)
        if queries:
            choice = self._chosen(node, queries, state)
        if wanted is not None:
            soon = time_for_starts(state, wanted, choice)
            if soon is not None:
                if state.limits.budget > 1:
                    self._unbudgeted.add(node)
                return Plan(soon, Reason.START)
        if choice.moment is None:
            return Plan(choice.at, Reason.PERIODIC)
        self._set_choice(node, choice)
        return Plan(choice.at, Reason.PREFETCH)

    def expected(self, node: str) -> str:
        """Return the query for which a node is scraped next, as text; empty if it is for none."""
        choice = self._choices.get(node)
        if choice is None or choice.moment is None:
            return ""
        query = choice.moment.query.query
        what = query.name or query.selector or "*"
        text = f"{'*' if query.namespace is None else query.namespace}/{what}"
        return text if len(text) <= LONGEST_QUERY_SHOWN else f"{text[:LONGEST_QUERY_SHOWN]}…"

    def waiting(self, query: RememberedQuery) -> list[str]:
        """Return the nodes whose next scrape is for a query, or the one after that."""
        return list(self._waiting.get(query, ()))

    def came(self) -> None:
        """Note that a query has come, so that choices made before hold no longer."""
        self._shared.clear()

    def follows(self, query: RememberedQuery) -> bool:
        """Return whether scrapes can follow a query: it does not come more often than they may."""
        return query.rhythm.regular and query.rhythm.interval >= self._limits.shortest

    def set_nodes(self, query: RememberedQuery, nodes: Sequence[str]) -> None:
        """Note which nodes host what a query matches."""
        before, after = set(query.nodes), set(nodes)
        for node in before - after:
            self._remove(node, query)
        for node in after - before:
            insort(self._queries.setdefault(node, []), query, key=_age)
        query.nodes = tuple(nodes)

    def forget_node(self, node: str) -> None:
        """Drop a node that is gone."""
        self._set_choice(node, None)
        self._levels.pop(node, None)
        self._unbudgeted.discard(node)

    def _remove(self, node: str, query: RememberedQuery) -> None:
        queries = self._queries[node]
        queries.remove(query)
        if not queries:
            del self._queries[node]

    def _state(self, node: str, last: float) -> Node:
        """Return a node, whose budget was charged for the scrape at `last` if that is new."""
        limits = self._limits if self._exact(node) else self._plain_limits
        scrapes, level = self._levels.get(node, ((last - limits.period, last), limits.most - 1))
        if last > scrapes[-1]:
            level = limits.after(level, scrapes[-1], last, 0 if node in self._unbudgeted else 1)
            scrapes = (*scrapes, last)[-KEPT:]
        self._unbudgeted.discard(node)
        self._levels[node] = scrapes, level
        queries = self._queries.get(node)
        oldest = queries[0].caller if queries else 0
        return Node(scrapes, level, limits, self._clock(), oldest)

    def _chosen(self, node: str, queries: Sequence[RememberedQuery], state: Node) -> Choice:
        """Choose the next scrape of a node, once for all nodes of the same queries and history."""
        if state.now > self._shared_until:
            self._shared.clear()
            self._shared_until = state.now + CHOICE_HOLDS
        answer_time = math.ceil(self._answer_time(node) / ANSWER_STEP) * ANSWER_STEP
        queries = list(islice(_spread(queries), LOOKED_THROUGH))
        key = (state.scrapes, state.level, state.limits, answer_time, *map(id, queries))
        choice = self._shared.get(key)
        if choice is None:
            choice = self._shared[key] = choose(state, self._expected(queries, state, answer_time))
        return choice

    def _expected(
        self, queries: Sequence[RememberedQuery], state: Node, answer_time: float
    ) -> list[Moment]:
        """Return the moments of the queries that are expected of a node, in order."""
        last = state.last
        until = state.limits.horizon(last)
        moments: list[Moment] = []
        expected = 0
        for query in queries:
            if expected == SOON_EXPECTED:
                break
            lead, before = query.lead(answer_time), len(moments)
            if not self.follows(query) or lead >= self._limits.period / 2:
                continue  # usage would be no fresher than on the schedule, in the mean
            moments += [
                Moment(_step_down(at - lead), query.caller, query.number, query)
                for at in query.expected(last + lead + MOMENT_STEP, until + lead)
            ]
            expected += len(moments) > before
        moments.sort()
        return moments

    def _set_choice(self, node: str, choice: Choice | None) -> None:
        """Note for which queries a node is waiting."""
        for query in _queries_of(self._choices.pop(node, None)):
            waiting = self._waiting[query]
            waiting.discard(node)
            if not waiting:
                del self._waiting[query]
        if choice is not None:
            self._choices[node] = choice
            for query in _queries_of(choice):
                self._waiting[query].add(node)


def _spread(queries: Sequence[RememberedQuery]) -> Iterator[RememberedQuery]:
    """Yield queries by caller, oldest first; those of a caller so that any first ones are a sample.

    Queries that began at once, as when this process had started, are in the order of their phases:
    the oldest ones would all be expected within a short time.
    """
    first = 0
    while first < len(queries):
        last = bisect_right(queries, queries[first].caller, lo=first, key=attrgetter("caller"))
        step = math.ceil((last - first) / SOON_EXPECTED)
        for offset in range(step):
            yield from queries[first + offset : last : step]
        first = last


def _step_down(at: float) -> float:
    return math.floor(at / MOMENT_STEP) * MOMENT_STEP


def _queries_of(choice: Choice | None) -> set[RememberedQuery]:
    moments = () if choice is None else (choice.moment, choice.main)
    return {moment.query for moment in moments if moment is not None}
