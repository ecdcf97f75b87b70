"""The interval at which one query comes again, and how exactly it keeps to it."""

from __future__ import annotations

import math
from array import array
from typing import NamedTuple

GAPS = 16  # between queries, from which interval and error follow
FEWEST = 3  # gaps before anything is expected: one is no interval, two may be chance
LARGEST_ERROR = 3.0  # seconds: a query that comes less exactly is not predicted
LARGEST_SHARE = 0.2  # of the interval: where half of it is 3 s, any time at all would be exact


class Rhythm(NamedTuple):
    """`interval` and `error` in seconds; `error` is the p90 of how far queries came beside it."""

    interval: float
    error: float

    @property
    def regular(self) -> bool:
        """Return whether the next query can be predicted."""
        return self.error <= min(LARGEST_ERROR, LARGEST_SHARE * self.interval)


NONE = Rhythm(math.inf, math.inf)


def rhythm_of(gaps: array[float]) -> Rhythm:
    """Return the rhythm of a query by the last times between two of it, in seconds.

    A gap may be a multiple of the interval, since a query may be answered by another replica or be
    left out. So a short gap, the first quartile, says how many intervals are in each, and the
    interval is the median of what then remains. A controller's work and its queue are part of the
    gaps, and so of the interval. One gap of ten may be anything: a controller that was restarted.
    """
    count = len(gaps)
    if count < FEWEST:
        return NONE
    ordered = sorted(gaps)
    short = ordered[count // 4]
    if ordered[-1] < 1.5 * short:  # each is one interval, as nearly always
        interval = ordered[count // 2]
        errors = [abs(gap - interval) for gap in ordered]
    else:
        interval = sorted([gap / max(1, round(gap / short)) for gap in gaps])[count // 2]
        errors = [abs(gap - interval * max(1, round(gap / interval))) for gap in gaps]
    errors.sort()
    return Rhythm(interval, errors[math.ceil(0.9 * count) - 1])
