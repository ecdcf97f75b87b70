"""When a kubelet read its stats, by our own clock: what its whole-second times leave open.

A Summary has stats of two kinds and does not say which is which. Some are read at request time
(containers under containerd); others come from housekeeping, up to 20 s earlier (nodes, pods,
containers elsewhere). Only the first kind can be timed by our clock.

A stat with the kubelet time T, cut to `step`, was read at some true time in [T, T + step) of the
kubelet's clock. If it was read at request time, that lies between our request and our answer, so
the offset (kubelet clock minus our monotonic clock) is in [T - answered, T + step - requested).
Every such stat bounds the offset again, and the intersection over a few answers is narrow, whatever
the skew. A stat whose own interval misses the intersection was not read at request time.

A stat from housekeeping agrees with the bounds by chance, in one answer of ten or so, and then in
the next one of five, so that alone proves nothing:
- What is known of a node is `evidence`: how many containers agreed together, answer after answer.
  Five at once, and nearly all there are, are enough, since independent housekeeping does not
  coincide like that; three or four must do so three times, and others ten times. If housekeeping
  reads all containers at one moment, they coincide although they are old; but then the counters'
  differences divided by the kubelet's own rates give one and the same window for all of them, which
  a runtime that is asked never does.
- What is known of a stat is its `run` of readings in a row that agreed (`Timing.next_run`): two are
  enough on a node with enough evidence. After a reading that did not agree, or one that is only
  repeated, a run starts far below that.

Exact kubelet times, for those who take counters from here, are our moments shifted by an offset
inside the bounds, which moves no more than the bounds ask for: then the difference of two exact
times is the window between the two moments, for all stats of the node alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import inf

from msgspec import Struct

from metricsapi.storage.evidence import CERTAIN, ENOUGH, REACTIONS, Agreement, Finding, Previous
from metricsapi.storage.timing import RUN, Bounds, Exchange, Instant, Timing, exact_time
from metricsapi.storage.types import KubeletTime, Located, epoch_seconds

SLEW = 5e-4  # seconds a second: the most by which NTP lets a clock run fast or slow
USUAL = 0.25  # of the containers of an answer
ROUNDED = 1e-6  # seconds by which two floats of one moment may differ


class NodeClock(Struct, gc=False):
    """What is known of one kubelet's clock, from one answer to the next."""

    bounds: Bounds = Bounds()
    at: float = -inf  # monotonic seconds of the last answer
    shift: float = 0.0  # the offset that exact times have; moved no more than the bounds ask for
    evidence: int = 0
    jumped_at: float = -inf

    @property
    def offset(self) -> float | None:
        """The kubelet's clock minus our monotonic one, as well as it is known; None before."""
        low, high = self.bounds
        return (low + high) / 2 if high < inf else None

    @property
    def reads_at_request(self) -> bool:
        """Return whether the node is known to have stats that are read at request time."""
        return self.evidence >= ENOUGH

    def locate(
        self,
        times: Mapping[KubeletTime, int],
        node_time: KubeletTime,
        at: Exchange,
        previous: Callable[[], list[Previous]],
    ) -> tuple[Timing, Located]:
        """Compute when the stats of an answer were read, and learn from it.

        `times` are those of its containers, of which alone it learns, each with the number of
        containers that have it; `previous` gives the new readings of containers seen before, and is
        not asked once all is clear.
        """
        seconds = _parsed(times)
        distinct = set(seconds.values())
        counts: Counter[float] = Counter()
        for time, parsed in seconds.items():  # one time may be written in two notations
            counts[parsed] += times[time]
        usual = _usual(counts)
        self.bounds = self.bounds.widened(SLEW * max(0.0, at.answered - self.at))
        self.at = at.answered
        agreeing = self.bounds.agreeing(distinct, at)
        finding = Finding.CONSISTENT
        if distinct and self._in_doubt(distinct, agreeing):
            finding, agreeing = self._learn(distinct, usual, agreeing, at, previous())
        if certain := agreeing & usual:
            self.bounds = self.bounds.narrowed(certain, at)
            self.shift = min(max(self.shift, self.bounds.low), self.bounds.high)
        located = Located(
            *self.bounds,
            self.shift,
            self.evidence,
            self.jumped_at,
            finding is Finding.REFUTED,
            [(time, *self.bounds.moment(time, at)) for time in agreeing],
            list(times),
        )
        return self._timing({**seconds, **_parsed((node_time,))}, at, located), located

    def adopt(self, located: Located, node_time: KubeletTime, at: Exchange) -> Timing:
        """Take over what another store computed for the same answer; return the times."""
        self.bounds = Bounds(located.low, located.high)
        self.at, self.shift = at.answered, located.shift
        self.evidence = located.evidence
        # The same moment by another offset is off by what floats are rounded to, and readings are
        # compared with it.
        if not abs(located.jumped_at - self.jumped_at) < ROUNDED:
            self.jumped_at = located.jumped_at
        return self._timing(_parsed((*located.times, node_time)), at, located)

    def move(self, seconds: float) -> None:
        """Go by a monotonic clock that is `seconds` ahead of the one so far."""
        self.bounds = Bounds(self.bounds.low - seconds, self.bounds.high - seconds)
        self.at += seconds
        self.shift -= seconds
        self.jumped_at += seconds

    def _timing(
        self, seconds: Mapping[KubeletTime, float], at: Exchange, located: Located
    ) -> Timing:
        moments = {time: (moment, error) for time, moment, error in located.moments}
        instants = {
            time: self._instant(time, moments.get(time), at) for time in set(seconds.values())
        }
        return Timing(
            {time: instants[parsed] for time, parsed in seconds.items()},
            self.reads_at_request,
            located.refuted,
            self.jumped_at,
            at.quick,
            at.answered,
            at.requested,
        )

    def _in_doubt(self, times: set[float], agreeing: set[float]) -> bool:
        return self.offset is None or self.evidence < CERTAIN or len(agreeing) < len(times)

    def _learn(
        self,
        times: set[float],
        usual: set[float],
        agreeing: set[float],
        at: Exchange,
        readings: list[Previous],
    ) -> tuple[Finding, set[float]]:
        """Change bounds and evidence by what an answer shows; return the times that agree then."""
        known = [new.time for new in readings if new.run >= RUN and self.evidence >= ENOUGH]
        finding = self._find(max(usual), agreeing, known)
        reaction = REACTIONS[finding]
        if reaction.restart:
            anchor = _most_common(known) if known else max(usual)
            self.bounds = Bounds(anchor - at.answered, anchor + at.step - at.requested)
            agreeing = self.bounds.agreeing(times, at)
        agreement = Agreement(
            [new for new in readings if new.run > 0 and new.time in agreeing and at.quick],
            len(readings),
            (at.requested + at.answered) / 2,
        )
        self.evidence = reaction.evidence(self.evidence, agreement)
        if finding is Finding.JUMPED:
            self.jumped_at = at.answered
        return finding, agreeing

    def _find(self, newest: float, agreeing: set[float], known: list[float]) -> Finding:
        if self.offset is None:
            return Finding.FIRST
        if known:
            return Finding.JUMPED if agreeing.isdisjoint(known) else Finding.CONSISTENT
        return Finding.CONSISTENT if newest in agreeing else Finding.REFUTED

    def _instant(self, time: float, read: tuple[float, float] | None, at: Exchange) -> Instant:
        if read is None:
            return Instant(time, time + at.step / 2, None, 0.0, at.answered, at.requested, at.step)
        moment, error = read
        exact = exact_time(moment + self.shift, time, at.step)
        return Instant(time, exact, moment, error, at.answered, at.requested, at.step)


def _parsed(times: Iterable[KubeletTime]) -> dict[KubeletTime, float]:
    """Return the times that are times, each with its seconds since the epoch."""
    return {time: parsed for time in times if (parsed := epoch_seconds(time)) is not None}


def _usual(times: Mapping[float, int]) -> set[float]:
    """Return the times that many of an answer's containers have; all if there are no such times.

    One container from housekeeping among others that are read at request time, or one with a time
    that is nonsense, says nothing of the clock.
    """
    least = sum(times.values()) * USUAL
    return {time for time, count in times.items() if count >= least} or set(times)


def _most_common(times: list[float]) -> float:
    counts = Counter(times)
    return max(counts, key=lambda time: (counts[time], time))
