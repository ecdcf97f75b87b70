"""From what an autoscaler saw to how soon it saw a step of the load.

It sees a change once usage differs by more than the HPA's tolerance, a tenth, from what it was, and
the whole step once nine tenths of it are in what it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from metricsapi.tools.sandbox.loads import HIGH

TOLERANCE = 0.1
WHOLE = 0.9


class Value(NamedTuple):
    """Usage at a time (epoch seconds), as a multiple of low usage."""

    at: float
    factor: float


class Response(NamedTuple):
    """Seconds from a step of the load until a change was seen, and until the whole of it was."""

    changed: float
    whole: float


def steps(begin: float, end: float, period: float) -> Iterator[float]:
    """Yield the times at which a load that steps at each multiple of `period` does so."""
    at = (begin // period + 1) * period
    while at < end:
        yield at
        at += period


def responses(values: Sequence[Value], at: Iterable[float], period: float) -> Iterator[Response]:
    """Yield the response to each step at one of these times that ended before the next step."""
    for step in at:
        before, after = (1.0, HIGH) if step // period % 2 else (HIGH, 1.0)
        seen = [value for value in values if step <= value.at < step + period]
        changed = [v.at for v in seen if abs(v.factor / before - 1) > TOLERANCE]
        whole = [v.at for v in seen if abs(v.factor - before) >= WHOLE * abs(after - before)]
        if changed and whole:
            yield Response(changed[0] - step, whole[0] - step)


def changes(values: Sequence[Value], at: Iterable[float], period: float) -> Iterator[float]:
    """Yield the seconds from each step until a value differs from what it was at the step."""
    for step in at:
        before = [value.factor for value in values if value.at < step]
        after = [value for value in values if step <= value.at < step + period]
        changed = [v.at - step for v in after if before and v.factor != before[-1]]
        yield from changed[:1]
