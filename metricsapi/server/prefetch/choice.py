"""Which moment a node is scraped at next: the rule, as a pure function.

A moment is when a node is to be scraped for an expected query: its lead before the query. Within
the node's `limits`

- the main scrape belongs to the caller that has asked for the longest time, of those whose queries
  have a moment within reach. It is made at the moment that leaves that caller's queries the least
  mean age, from the last scrape until a period after this one, but where the window of its rate is
  much longer than a period only if that takes `LONG_WINDOW` periods of age away: an HPA sees the
  whole of a change later then;
- an extra scrape comes before the main one where the budget has both: where it takes most age away
  until then, again from the queries of the oldest caller that gain by one.

A scrape for another caller leaves the older ones what their next moment needs: the time before it,
and what the budget has saved. So whatever a caller asks, no query of an older caller gets older
usage. All queries of one caller are equal, as those of the HPA controller are.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from operator import attrgetter
from typing import NamedTuple

from metricsapi.server.prefetch.learner import RememberedQuery
from metricsapi.server.prefetch.limits import Limits

SOON = 0.5  # seconds by which pods that have started wait for the scrape of a query
# Age that a long window counts for, in periods. With less an HPA sees the whole of a change later;
# with more, nodes of the same queries would hardly come to be scraped together.
LONG_WINDOW = 4 / 15
SHIFT = 1.0  # seconds by which a moment may come earlier when it is planned again
MARGIN = 0.25  # seconds by which a timer may be late


class Moment(NamedTuple):
    """When to scrape a node for a query, in monotonic seconds."""

    at: float
    caller: int  # less for one that has asked longer
    number: int  # of the query: less for an older one of the same caller
    query: RememberedQuery


class Node(NamedTuple):
    """What matters of a node: its last scrapes and the budget after them. Monotonic seconds."""

    scrapes: tuple[float, ...]  # the last few, in order
    level: int
    limits: Limits
    now: float
    oldest: int  # caller that is expected to ask for it, for which the budget saves

    @property
    def last(self) -> float:
        """When it was scraped last."""
        return self.scrapes[-1]

    def affords(self, scrapes: int, at: float) -> bool:
        """Return whether the budget has so many scrapes by a time."""
        return self.level + self.limits.gain(self.last, at) >= scrapes

    @property
    def room(self) -> float:
        """How long before the main scrape an extra one is made, so that neither need be late."""
        return self.limits.shortest + MARGIN

    @property
    def latest(self) -> float:
        """When the node is scraped next at the latest."""
        return self.last + self.limits.longest

    @property
    def earliest(self) -> float:
        """When the node can be scraped next."""
        earliest = max(self.now, self.last + self.limits.shortest)
        if self.level >= 1:
            return earliest
        return max(earliest, self.limits.when_gained(1 - self.level, self.last))


class Choice(NamedTuple):
    """When a node is scraped next, for which moment, and for which it is to be scraped after that.

    Both are None where no moment is within reach; without an extra scrape they are the same.
    """

    at: float
    moment: Moment | None = None
    main: Moment | None = None


def choose(node: Node, moments: Sequence[Moment]) -> Choice:
    """Return when to scrape a node next; `moments` are in order, from its last scrape on."""
    main = _main(node, moments)
    if main is None:
        return Choice(_without_moment(node, moments))
    extra = _extra(node, moments, main.at) or main
    return Choice(extra.at, extra, main)


def time_for_starts(node: Node, wanted: float, choice: Choice) -> float | None:
    """Return when to scrape a node because pods have started; None if the scrape chosen will do.

    Who wants it has a budget of its own (see `young_pods`). A scrape for a query will do if it
    comes `SOON` later, and so will any where there is no budget for more than one a period.
    """
    if node.limits.budget <= 1:
        soonest = max(wanted, node.earliest)
        will_do = choice.moment is not None and not node.affords(2, choice.at)
        return None if will_do or soonest >= choice.at else soonest
    soonest = max(wanted, node.now, node.last + node.limits.shortest)
    room = SOON if choice.moment is not None else 0.0
    return soonest if soonest < choice.at - room else None


def _main(node: Node, moments: Sequence[Moment]) -> Moment | None:
    """Return the moment of the main scrape; None if none is within reach."""
    within_reach = [each for each in moments if node.earliest <= each.at <= node.latest]
    for caller in sorted({moment.caller for moment in within_reach}):
        usable = [
            moment
            for moment in within_reach
            if moment.caller == caller and _spares_older_callers(node, moments, caller, moment.at)
        ]
        if usable:
            own = [moment for moment in moments if moment.caller == caller]
            costs = zip(_costs(node, usable, own), usable, strict=True)
            return min(costs, key=lambda cost: (cost[0], cost[1].number))[1]
    return None


def _spares_older_callers(
    node: Node, moments: Sequence[Moment], caller: int, at: float, scrapes: int = 1
) -> bool:
    """Return whether so many scrapes for a caller, the last one at a time, cost older ones nothing.

    What the budget has saved remains, and their next moment, or a little before it, can be met.
    """
    if caller == node.oldest:
        return True
    if at - node.last < scrapes * node.limits.period and not node.affords(scrapes + 1, at):
        return False
    later = islice(moments, bisect_right(moments, at, key=attrgetter("at")), None)
    following = next((moment.at for moment in later if moment.caller < caller), None)
    return following is None or _can_meet_about(node, at, following, scrapes)


def _costs(node: Node, mains: Sequence[Moment], moments: Sequence[Moment]) -> Iterator[float]:
    """Yield for each main scrape the mean age of usage at moments until it comes again, in seconds.

    It comes again with its query if that has about the period for its interval. The moments before
    it count too: where they are spread evenly, scrapes are then as soon as the budget has one.

    It costs `LONG_WINDOW` periods more where the rate would run from a scrape long ago. Not for
    queries rarer than scrapes: the scrape before may be another caller's, and must not put theirs
    off.
    """
    times, period = [moment.at for moment in moments], node.limits.period
    sums = [0.0, *accumulate(times)]
    for main in mains:
        interval = main.query.rhythm.interval
        each_period = node.limits.is_period(interval)
        until = interval if each_period else period
        start, end = bisect_left(times, main.at), bisect_left(times, main.at + until)
        age = (sums[end] - start * node.last - (end - start) * main.at) / end
        frequent = interval <= node.limits.longest
        long = frequent and node.limits.has_long_window(node.scrapes, main.at)
        yield age + LONG_WINDOW * period * long


def _extra(node: Node, moments: Sequence[Moment], main: float) -> Moment | None:
    """Return the moment of an extra scrape before the main one; None if there is none."""
    if node.limits.budget <= 1 or not node.affords(2, main):
        return None
    before = moments[: bisect_left(moments, (main,))]
    for caller in sorted({moment.caller for moment in before}):
        if not _spares_older_callers(node, moments, caller, main, 2):
            return None
        own = [moment for moment in before if moment.caller == caller]
        if extra := _best_extra(node, own, main - node.room):
            return extra
    return None


def _best_extra(node: Node, moments: Sequence[Moment], latest: float) -> Moment | None:
    """Return where an extra scrape takes most age away from the moments before the main scrape."""
    best, most = None, 0.0
    for index, moment in enumerate(moments):
        at = min(moment.at, latest)  # at the latest time, it serves the moments after it
        taken = (at - node.last) * (len(moments) - index)
        if at >= node.earliest and taken > most:
            best, most = moment._replace(at=at), taken
    return best


def _without_moment(node: Node, moments: Sequence[Moment]) -> float:
    """Return when to scrape a node that has no moment within reach: a period after the last scrape.

    But whole periods before the next moment of the oldest caller if possible, so that the window of
    the scrape then is a period long. Or somewhat earlier or later where that moment could not be
    met, since gaps would be too short or the budget not enough.
    """
    at, limits = node.last + node.limits.period, node.limits
    later = [moment for moment in moments if moment.at > node.latest]
    following = min(later, key=lambda moment: (moment.caller, moment.at), default=None)
    if following is None:
        return at
    before = following.at - (following.at - node.earliest) // limits.period * limits.period
    if before <= node.latest and _can_meet_about(node, before, following.at):
        return before
    if _can_meet(node, at, following.at):
        return at
    gaps = limits.fewest_gaps(following.at - at)
    earlier = following.at - gaps * limits.shortest
    if node.earliest <= earlier < at and _can_meet(node, earlier, following.at):
        return earlier
    return min(node.latest, following.at - (gaps - 1) * limits.longest)


def _can_meet_about(node: Node, at: float, moment: float, scrapes: int = 1) -> bool:
    """Return whether a moment can be met after so many scrapes, and a little before it."""
    return all(_can_meet(node, at, each, scrapes) for each in (moment, moment - SHIFT))


def _can_meet(node: Node, at: float, moment: float, scrapes: int = 1) -> bool:
    """Return whether a moment can be met after so many scrapes, the last one of them at a time."""
    limits, apart = node.limits, moment - at
    scrapes += limits.fewest_gaps(apart)
    return limits.can_be_apart(apart) and node.affords(scrapes, moment)
