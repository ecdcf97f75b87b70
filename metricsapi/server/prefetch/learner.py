"""Which queries come at regular times, and when each is expected next.

Pure: time is an argument, in monotonic seconds. A caller can invent queries, so their number is
bounded for each user and in all, and a user's queries make room for that user's alone.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from sys import getsizeof
from typing import NamedTuple

from metricsapi.api.queries import Query
from metricsapi.server.prefetch.hosts import UNKNOWN
from metricsapi.server.prefetch.rhythm import GAPS, NONE, rhythm_of

PER_USER = 16_384  # queries: the HPA controller is one user, and clusters have 15,000 HPAs
IN_ALL = 2 * PER_USER
# Bytes that the texts of a query may take: a query with more is not remembered. A character takes
# up to four.
LARGEST_TEXTS = 1280
EQUAL = 1.0  # seconds: an HPA with CPU and memory asks twice within milliseconds
LONGEST_INTERVAL = 300.0  # seconds
MISSES = 4  # expected queries in a row that did not come: then there are no more
LATE = 0.5  # of an interval: a query this late is missed
SHORTEST_LEAD, LONGEST_LEAD, LEAD_STEP = 0.5, 3.0, 0.25  # seconds


class RememberedQuery:
    """A query and its times. Of callers and of queries, those with lesser numbers are older."""

    __slots__ = ("caller", "gaps", "last", "nodes", "number", "query", "rhythm", "version")

    def __init__(self, query: Query, caller: int, number: int, at: float) -> None:
        self.query = query
        self.caller = caller
        self.number = number
        self.last = at
        self.gaps: array[float] | None = None
        self.rhythm = NONE
        self.nodes: tuple[str, ...] = ()  # that host what it matches
        self.version = UNKNOWN  # of the pods of which these are

    def expected(self, after: float, until: float) -> list[float]:
        """Return when it is expected between two times: never if not regular, or if it stopped."""
        interval = self.rhythm.interval
        first = max(1, math.floor((after - self.last) / interval) + 1)
        if not self.rhythm.regular or first > MISSES:
            return []
        end = math.floor((until - self.last) / interval)
        return [self.last + count * interval for count in range(first, end + 1)]

    def lead(self, answer_time: float) -> float:
        """Return how long before it is expected a node is read that takes `answer_time` seconds.

        In steps, so that nodes that take about as long are read together, which costs less. It is
        infinite where it would be above `LONGEST_LEAD`: with less, usage comes after the query.
        """
        lead = math.ceil((self.rhythm.error + answer_time) / LEAD_STEP) * LEAD_STEP
        return max(lead, SHORTEST_LEAD) if lead <= LONGEST_LEAD else math.inf

    def has_stopped(self, now: float) -> bool:
        """Return whether it came no more: a few times if it was regular, else for minutes."""
        patience = LONGEST_INTERVAL
        if self.rhythm.regular:
            patience = (MISSES + LATE) * self.rhythm.interval
        return now - self.last > patience

    def missed(self, at: float) -> int:
        """Return how many expected queries did not come in time before the query at `at`."""
        elapsed, interval = at - self.last, self.rhythm.interval
        count = max(1, round(elapsed / interval))
        return count - (abs(elapsed - count * interval) <= self.lead(0.0))

    def again(self, at: float) -> None:
        """Note that the query came again."""
        if self.gaps is None:
            self.gaps = array("d")
        elif len(self.gaps) == GAPS:
            del self.gaps[0]
        self.gaps.append(at - self.last)
        self.last = at
        self.rhythm = rhythm_of(self.gaps)


class _User(NamedTuple):
    number: int
    queries: OrderedDict[Query, RememberedQuery]  # the least recently seen first


class Learner:
    """Remembers queries, a bounded number for each user and in all.

    `counted` is called with how many expected queries came (0 or 1) and were missed; `forgotten`
    with each query that is no longer remembered.
    """

    def __init__(
        self,
        counted: Callable[[int, int], None] = lambda _came, _missed: None,
        forgotten: Callable[[RememberedQuery], None] = lambda _: None,
        *,
        per_user: int = PER_USER,
        in_all: int = IN_ALL,
    ) -> None:
        self._counted = counted
        self._forgotten = forgotten
        self._per_user = per_user
        self._in_all = in_all
        self._size = 0
        self._numbers = itertools.count()
        self._users: dict[str, _User] = {}

    def __len__(self) -> int:
        """Return the number of queries that are remembered."""
        return self._size

    def observe(self, query: Query, at: float) -> RememberedQuery | None:
        """Note a query; None if it is the same as one within a second, or cannot be remembered."""
        user = self._users.get(query.user)
        known = user.queries.get(query) if user is not None else None
        if user is None or known is None:
            return self._remember(query, at)
        if at - known.last < EQUAL:
            return None
        if known.has_stopped(at):
            self._stop(known)
            return self._remember(query, at)
        user.queries.move_to_end(query)
        if known.rhythm.regular:
            missed = known.missed(at)
            self._counted(int(not missed), missed)
        known.again(at)
        return known

    def forget_stopped(self, now: float) -> Iterator[None]:
        """Forget the queries that have stopped. Other queries may come at each yield."""
        for user in list(self._users.values()):
            for known in list(user.queries.values()):
                if known.has_stopped(now) and user.queries.get(known.query) is known:
                    self._stop(known)
                yield

    def _remember(self, query: Query, at: float) -> RememberedQuery | None:
        texts = query.user, query.namespace or "", query.selector, query.name or ""
        if sum(map(getsizeof, texts)) > LARGEST_TEXTS:
            return None
        user = self._users.get(query.user)
        if user and (len(user.queries) >= self._per_user or self._size >= self._in_all):
            self._forget(next(iter(user.queries.values())))
        if self._size >= self._in_all:
            return None  # those of others stay
        user = self._users.get(query.user)
        if user is None:
            user = self._users[query.user] = _User(next(self._numbers), OrderedDict())
        known = RememberedQuery(query, user.number, next(self._numbers), at)
        user.queries[query] = known
        self._size += 1
        return known

    def _stop(self, known: RememberedQuery) -> None:
        if known.rhythm.regular:
            self._counted(0, MISSES)
        self._forget(known)

    def _forget(self, known: RememberedQuery) -> None:
        user = self._users[known.query.user]
        del user.queries[known.query]
        if not user.queries:
            del self._users[known.query.user]
        self._size -= 1
        known.rhythm = NONE
        self._forgotten(known)
