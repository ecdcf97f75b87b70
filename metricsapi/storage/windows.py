"""How long the window of a rate is, where a node is read more often than once a period.

A rate over a short window is noisy, and an autoscaler scales up on noise. So an additional read of
a node changes how old its usage is, and never makes the window shorter. A stat keeps up to four
readings, and the rate runs from the newest that is at least `ENOUGH` of a period old. If none is,
it runs from the oldest.

For a container that started less than `YOUNG` ago `SHORTEST_SHARE` of a period is enough: the HPA
does not count a new pod before the whole window lies after the moment at which it became ready.

The age of a reading is that of its request: where every node is read once a period, the reading
before the last is a period old, however long an answer took, and the rate always runs from it.
"""

from __future__ import annotations

from typing import Self

from msgspec import Struct

from metricsapi.storage.rates import Reading
from metricsapi.storage.timing import Instant

# Of a period. Readings are not exactly a period apart, and two periods would be much too long.
ENOUGH = 0.9
SHORTEST_SHARE = 2 / 3  # of a period
YOUNG = 300.0  # seconds: the HPA's --horizontal-pod-autoscaler-cpu-initialization-period
KEPT = 4  # readings, the last one included
LONGEST = 300.0  # seconds, or three periods if longer: no rate runs over more between two readings


class Windows(Struct, frozen=True, gc=False):
    """The lengths of windows that are wanted, in seconds; without a period any is long enough."""

    period: float = 0.0
    shortest: float = 0.0
    enough: float = 0.0
    longest: float = LONGEST

    @classmethod
    def of(cls, period: float) -> Self:
        """Return the lengths for nodes that are read once in `period` seconds."""
        return cls(period, SHORTEST_SHARE * period, ENOUGH * period, max(LONGEST, 3 * period))

    def readings(self, kept: list[Reading], at: Instant, start: float | None) -> list[Reading]:
        """Return the readings to keep before one made at `at`; the rate begins at the first one.

        `kept` are those so far, the last one less than `enough` seconds ago; `start` is the
        container's, in seconds since the epoch, if it is known.
        """
        young = start is not None and at.time - start < YOUNG
        latest = at.requested - (self.shortest if young else self.enough)
        while len(kept) > 1 and kept[1].at.requested <= latest:
            kept = kept[1:]
        return kept if len(kept) < KEPT else _without_closest(kept, at)


def _without_closest(kept: list[Reading], at: Instant) -> list[Reading]:
    """Leave out the reading whose neighbours are closest to each other, but never the first."""
    times = [*(reading.at.requested for reading in kept), at.requested]
    closest = min(range(1, len(kept)), key=lambda i: times[i + 1] - times[i - 1])
    return [*kept[:closest], *kept[closest + 1 :]]
