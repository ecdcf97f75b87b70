"""When the stats of one answer were read: the values that `clock` computes and others go by.

The words of `clock`, `evidence`, `cpu` and `rates`:

| word | meaning |
|---|---|
| moment | when a stat was read, by our monotonic clock; a stat from housekeeping has none |
| bounds | between which the kubelet's clock minus our monotonic clock is |
| to agree | a reading agrees if, within the bounds, it may have been made at request time |
| run | how many readings of one stat agreed, one after the other |
| evidence | how much the containers of a node agreed together: that they are read at request time |
| trusted | of a node or stat: evidence or run are enough to go by its moments |
| step | what a kubelet's time is cut to: a second, or a millisecond |
| exact | a kubelet's time with an estimate of the fraction of a second that was cut off |
| vague | a length of time that is too uncertain for a rate, where a better one follows |
| implied | a length of time: a counter's growth divided by the kubelet's own rate |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import NamedTuple

from msgspec import Struct

from metricsapi.storage.types import KubeletTime

QUICK = 1.0  # seconds: an exchange that took longer is no evidence
RUN = 2  # agreeing readings in a row that a container's stat needs
LONG_RUN = 8  # the same for a stat that is usually from housekeeping, as a node's own
OLD = RUN - LONG_RUN  # the run after a reading that did not agree


class Exchange(NamedTuple):
    """The times of one request and its answer, in monotonic seconds."""

    requested: float
    answered: float
    step: float  # seconds that the answer's kubelet times are cut to

    @property
    def quick(self) -> bool:
        """Return whether few stats from housekeeping can seem to have been read meanwhile."""
        return self.answered - self.requested <= QUICK


class Instant(Struct, gc=False, eq=False):
    """When the stats of one answer that have the same kubelet time were read.

    It changes only by `move`, for all who share it.
    """

    time: float  # the kubelet's, as the answer has it
    exact: float  # the kubelet's, with the best estimate of the fraction that was cut off
    moment: float | None  # monotonic seconds, if it may have been at request time
    error: float  # seconds by which `moment` may be off, either way
    received: float  # monotonic seconds when the answer came
    requested: float  # monotonic seconds when the answer was asked for
    step: float = 1.0  # seconds that `time` is cut to

    def move(self, seconds: float) -> None:
        """Go by a monotonic clock that is `seconds` ahead of the one so far."""
        if self.moment is not None:
            self.moment += seconds
        self.received += seconds
        self.requested += seconds


class Timing(Struct, frozen=True, gc=False):
    """When the stats of one answer were read, as far as the clock can tell."""

    instants: Mapping[KubeletTime, Instant]  # by the time as the answer has it
    trusted: bool  # this node has stats that are read at request time
    refuted: bool  # earlier readings that had agreed were not made at request time
    jumped_at: float  # monotonic seconds when a jump of either clock was last noticed
    quick: bool  # the exchange was short enough to tell which stats were read meanwhile
    received: float  # monotonic seconds when the answer came
    requested: float  # monotonic seconds when it was asked for

    def next_run(self, run: int, moment: float | None) -> int:
        """Return a stat's run of agreeing readings after one more, at `moment` if it agrees."""
        if moment is None:
            return OLD
        if self.refuted:
            return min(run + 1, 1)
        return run + 1 if self.quick and run < LONG_RUN else run


class Bounds(NamedTuple):
    """The kubelet's clock minus our monotonic one is between these, in seconds."""

    low: float = -inf
    high: float = inf

    def widened(self, slack: float) -> Bounds:
        """Allow for what the clocks may have drifted apart."""
        return Bounds(self.low - slack, self.high + slack)

    def narrowed(self, times: set[float], at: Exchange) -> Bounds:
        """Return the intersection with what stats say that may have been read at request time.

        They were read before the answer, and after the request unless they only seem so, as those
        from housekeeping often do when the exchange was slow.
        """
        low = max(self.low, max(times) - at.answered)
        high = min(self.high, min(times) + at.step - at.requested) if at.quick else self.high
        return Bounds(low, high) if low <= high else self

    def agreeing(self, times: Iterable[float], at: Exchange) -> set[float]:
        """Return the kubelet times of stats that may have been read at request time."""
        after, until = at.requested + self.low - at.step, at.answered + self.high
        return {time for time in times if after < time <= until}

    def moment(self, time: float, at: Exchange) -> tuple[float, float]:
        """Return the middle of when a reading at request time may have been made, in our seconds.

        The second value is how far that may be off, either way.
        """
        earliest = max(at.requested, time - self.high)
        latest = min(at.answered, time + at.step - self.low)
        if earliest > latest:
            earliest, latest = at.requested, at.answered
        return (earliest + latest) / 2, (latest - earliest) / 2


def exact_time(guess: float, time: float, step: float) -> float:
    """Return the guess of a true time that the kubelet cut to `time`, within what that leaves."""
    return min(max(guess, time), time + step * 0.999)
