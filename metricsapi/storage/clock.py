"""When a kubelet read its stats, by our own clock: what its whole-second times leave open.

A Summary has stats of two kinds, and does not say which is which. Some are read while the request
is served (containers under containerd); others come from housekeeping, up to 20 s earlier (nodes,
pods, containers elsewhere). Only the first kind can be timed by our clock.

A stat with the kubelet time T, cut to `step`, was read at some true time in [T, T + step) of the
kubelet's clock. If it was read while we waited, that lies between our request and our answer too,
so the offset (kubelet clock minus our monotonic clock) is in [T - answered, T + step - requested).
Every such stat bounds it again, and their intersection over a few answers is narrow, whatever the
skew. A stat whose own interval misses the intersection was not read while we waited: its age shows.

A stat from housekeeping looks fresh by chance, in one answer of ten or so, and then in the next one
of five, so that alone proves nothing:
- What is believed of a node is `evidence`: how many containers looked fresh together, answer after
  answer. Five at once, and nearly all there are, are enough, since independent housekeeping does
  not coincide like that; three or four must do so three times, and others ten times. If
  housekeeping reads all containers at one moment, they coincide without being fresh; but then the
  counters' differences divided by the kubelet's own rates give one and the same window for all of
  them, which a runtime that is asked never does.
- What is believed of a stat is its `run` of fresh readings: two where the node is believed. A stat
  that looked old once starts anew far below that.
Exact kubelet times, for those who take counters from here, are our moments shifted by one offset
inside these bounds, which moves no more than the bounds ask for: then the difference of two exact
times is the window between the two moments, for all stats of the node alike.

When all stats believed fresh leave the intersection together, a clock jumped: the bounds start anew
where those stats are now. When nothing is believed and the newest stat leaves it, the guess that it
was fresh had been wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NamedTuple

from msgspec import Struct

WHOLE = 0.5  # seconds: kubelet times that are cut to more than this are worse than ours
SLEW = 5e-4  # seconds a second: the most by which NTP lets a clock run fast or slow
ENOUGH = 10  # evidence from which on a node has stats that are read at request time
CERTAIN = 40  # evidence is not counted further
DOUBT = -20  # evidence after a wrong guess
NEARLY_ALL = 0.8  # of an answer's new readings: some containers have only just started
SAME = 2e-4  # windows as close as this, as a ratio, are one: a rate is rounded to a nanocore
RUN = 2  # fresh readings in a row that a container's stat needs to be believed
LONG_RUN = 8  # the same for a stat that is usually from housekeeping, as a node's own
OLD = RUN - LONG_RUN  # the run after a reading that was old


class Known(NamedTuple):
    """A new reading of a container that had an earlier one."""

    time: float  # the kubelet's
    run: int  # fresh readings before this one
    earlier: float  # when the last of those was made, by our clock
    implied: float  # seconds between the two by counters and the kubelet's own rate; 0: unknown


class Fresh(Struct, gc=False, eq=False):
    """When stats were read that look as if that was while we waited: all with one kubelet time."""

    time: float  # the kubelet's, as told
    moment: float  # ours, monotonic
    exact: float  # the kubelet's, with the best estimate of the fraction that it cut off


class Placement(Struct, gc=False):
    """What the clock says of one answer."""

    fresh: dict[float, Fresh]  # by kubelet time
    believed: bool  # this node has stats that are read at request time
    anew: bool  # readings that had looked fresh were not: runs start anew
    jumped_at: float  # when we last noticed that one of the two clocks had jumped
    came: float  # when the answer came
    before: float  # when the one before it came
    step: float  # what its kubelet times are cut to

    def steady(self) -> bool:
        """Whether our times are beyond doubt since the answer before, and better than its own."""
        doubt = self.anew or self.jumped_at >= self.before
        return self.believed and not doubt and self.step >= WHOLE


class NodeClock(Struct, gc=False):
    """The offset of one kubelet's clock from our monotonic one, between `low` and `high`."""

    low: float = -inf
    high: float = inf
    at: float = 0.0  # monotonic seconds of the last answer
    shift: float = 0.0  # the offset that exact times have; moved no more than the bounds ask for
    evidence: int = 0
    jumped_at: float = -inf

    @property
    def offset(self) -> float | None:
        """The kubelet's clock minus our monotonic one, as well as it is known; None before."""
        return (self.low + self.high) / 2 if self.high < inf else None

    def place(
        self,
        times: set[float],
        requested: float,
        answered: float,
        step: float,
        known: Callable[[], list[Known]],
    ) -> Placement:
        """Tell which of an answer's kubelet `times` look fresh, and when those were.

        `times` are those of its containers; `known` gives the new readings of containers seen
        before, and is not asked once all is clear.
        """
        before, self.at = self.at, answered
        slack = SLEW * max(0.0, answered - before)
        self.low -= slack
        self.high += slack
        fresh = self._fresh(times, requested, answered, step)
        first = self.high == inf
        anew = jumped = False
        if times and (first or self.evidence < CERTAIN or len(fresh) < len(times)):
            readings = known()
            trusted = [one.time for one in readings if one.run >= RUN and self.evidence >= ENOUGH]
            jumped = bool(trusted) and fresh.isdisjoint(trusted)
            anew = not trusted and max(times) not in fresh and not first
            if first or anew or jumped:
                anchor = _most_common(trusted) if jumped else max(times)
                self.low, self.high = anchor - answered, anchor + step - requested
                fresh = self._fresh(times, requested, answered, step)
            if jumped:
                self.jumped_at = answered
                self.evidence -= CERTAIN // 2
            elif anew:
                self.evidence = DOUBT
            else:
                agree = [one for one in readings if one.run > 0 and one.time in fresh]
                self._weigh(agree, len(readings), (requested + answered) / 2)
        self._narrow(fresh, requested, answered, step)
        read = {t: self._read(t, requested, answered, step) for t in fresh}
        believed = self.evidence >= ENOUGH
        return Placement(read, believed, anew, self.jumped_at, answered, before, step)

    def _fresh(
        self, times: set[float], requested: float, answered: float, step: float
    ) -> set[float]:
        after, until = requested + self.low - step, answered + self.high
        return {t for t in times if after < t <= until}

    def _weigh(self, agree: list[Known], of: int, moment: float) -> None:
        """Count how many of the answer's `of` new readings agree that they are fresh."""
        if self.evidence < CERTAIN and _one_housekeeping(agree, moment):
            self.evidence = DOUBT
        elif agree:
            together = len(agree) >= 3 and len(agree) >= NEARLY_ALL * of
            weight = 1 if not together else ENOUGH if len(agree) >= 5 else 4
            self.evidence = min(CERTAIN, self.evidence + weight)

    def _narrow(self, fresh: set[float], requested: float, answered: float, step: float) -> None:
        if fresh:
            low = max(self.low, max(fresh) - answered)
            high = min(self.high, min(fresh) + step - requested)
            if low <= high:
                self.low, self.high = low, high
            self.shift = min(max(self.shift, self.low), self.high)

    def _read(self, time: float, requested: float, answered: float, step: float) -> Fresh:
        """The middle of what is left: between request and answer, and inside its whole second."""
        earliest = max(requested, time - self.high)
        latest = min(answered, time + step - self.low)
        if earliest > latest:
            earliest, latest = requested, answered
        moment = (earliest + latest) / 2
        return Fresh(time, moment, exact_time(moment + self.shift, time, step))


def exact_time(guess: float, time: float, step: float) -> float:
    """Give the guess of a true time that the kubelet cut to `time`, within what that leaves."""
    return min(max(guess, time), time + step * 0.999)


def _most_common(times: list[float]) -> float:
    return max(set(times), key=lambda time: (times.count(time), time))


def _one_housekeeping(agree: list[Known], moment: float) -> bool:
    """Whether the kubelet's own rates tell of one window for all, and not of ours."""
    implied = [one.implied for one in agree if one.implied > 0]
    if len(implied) < 2:
        return False
    least, most = min(implied), max(implied)
    ours = moment - agree[0].earlier
    return most - least < SAME * most and abs(most - ours) > 0.005 * ours
