"""When a kubelet read its stats, by our own clock: what its whole-second times leave open.

A Summary has stats of two kinds, and does not say which is which. Some are read while the request
is served (containers under containerd); others come from housekeeping, up to 20 s earlier (nodes,
pods, containers elsewhere). Only the first kind can be timed by our clock.

A stat with the kubelet time T, cut to `step`, was read at some true time in [T, T + step) of the
kubelet's clock. If it was read while we waited, that lies between our request and our answer too,
so the offset (kubelet clock minus our monotonic clock) is in [T - answered, T + step - requested).
Every such stat bounds it again, and their intersection over a few answers is narrow, whatever the
skew. A stat whose own interval misses the intersection was not read while we waited: its age shows.

A stat from housekeeping looks fresh by chance once in ten or twenty answers, so looking fresh once
proves nothing: `NodeClock` counts how often the containers of this node agreed (`evidence`), and
whether any of them looked old lately (`mixed`); `needed` says how many fresh readings in a row a
single stat must then have. When all stats believed fresh leave the intersection together, a clock
jumped: the bounds start anew from where those stats are now.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from msgspec import Struct

SLEW = 5e-4  # seconds a second: the most by which NTP lets a clock run fast or slow
ENOUGH = 3  # agreements before a node's containers are believed to be read at request time
CERTAIN = 16  # agreements are not counted further
LONG_RUN = 5  # fresh readings in a row that convince by themselves
MIXED_FOR = 8  # answers for which one old container makes us doubt the others


class Placement(Struct, gc=False):
    """What the clock says of one answer."""

    moments: dict[float, float]  # kubelet time → our monotonic time, for stats that look fresh
    jumped_at: float  # when we last noticed that one of the two clocks had jumped
    needed: int  # fresh readings in a row that a container's stat needs to be believed


class NodeClock(Struct, gc=False):
    """The offset of one kubelet's clock from our monotonic one, between `low` and `high`."""

    low: float = -inf
    high: float = inf
    at: float = 0.0  # monotonic seconds of the last answer
    jumped_at: float = -inf
    evidence: int = 0
    mixed: int = 0

    @property
    def offset(self) -> float | None:
        """The kubelet's clock minus our monotonic one, as well as it is known; None before."""
        return (self.low + self.high) / 2 if self.high < inf else None

    def place(
        self,
        times: list[float],
        requested: float,
        answered: float,
        step: float,
        believed: Callable[[], list[float]],
    ) -> Placement:
        """Tell which of an answer's kubelet `times` look fresh, and when those were.

        `times` are those of its containers; `believed` gives the times of the containers that had
        looked fresh before, and is only asked when some do not now.
        """
        if not times:
            return Placement({}, self.jumped_at, LONG_RUN)
        slack = SLEW * max(0.0, answered - self.at)
        self.at = answered
        self.low -= slack
        self.high += slack
        distinct = set(times)
        fresh = self._fresh(distinct, requested, answered, step)
        jumped = anew = False
        if len(fresh) < len(distinct) or self.high == inf:
            known = believed()
            jumped = bool(known) and fresh.isdisjoint(known)
            newest = max(distinct)
            anew = jumped or self.high == inf or (not known and newest not in fresh)
            if anew:
                anchor = max(set(known), key=lambda t: (known.count(t), t)) if jumped else newest
                self.low, self.high = anchor - answered, anchor + step - requested
                self.jumped_at = answered if jumped else self.jumped_at
                self.evidence = self.evidence // 2 if jumped else 0
                fresh = self._fresh(distinct, requested, answered, step)
        if fresh and not anew:
            agree = len(times) if len(fresh) == len(distinct) else sum(t in fresh for t in times)
            self.evidence = min(CERTAIN, self.evidence + min(agree, ENOUGH))
        self._narrow(fresh, requested, answered, step)
        self.mixed = MIXED_FOR if len(fresh) < len(distinct) else max(0, self.mixed - 1)
        alone = self.mixed > 0 or self.evidence < ENOUGH
        return Placement(
            {t: self._moment(t, requested, answered, step) for t in fresh},
            self.jumped_at,
            LONG_RUN if alone else 2,
        )

    def _fresh(
        self, times: set[float], requested: float, answered: float, step: float
    ) -> set[float]:
        after, until = requested + self.low - step, answered + self.high
        return {t for t in times if after < t <= until}

    def _narrow(self, fresh: set[float], requested: float, answered: float, step: float) -> None:
        if fresh:
            low = max(self.low, max(fresh) - answered)
            high = min(self.high, min(fresh) + step - requested)
            if low <= high:
                self.low, self.high = low, high

    def _moment(self, time: float, requested: float, answered: float, step: float) -> float:
        """The middle of what is left: between request and answer, and inside its whole second."""
        earliest = max(requested, time - self.high)
        latest = min(answered, time + step - self.low)
        if earliest > latest:
            earliest, latest = requested, answered
        return (earliest + latest) / 2
