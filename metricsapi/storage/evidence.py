"""What the answers of a node prove: whether its containers are read at request time.

`clock` explains what agrees with what, and why one agreement proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import NamedTuple

ENOUGH = 10  # evidence from which on a node has stats that are read at request time
CERTAIN = 40  # evidence is not counted further
DOUBT = -20  # evidence after a wrong guess
NEARLY_ALL = 0.8  # of an answer's new readings: some containers have only just started
SAME = 2e-4  # windows as close as this, as a ratio, are equal: a rate is rounded to a nanocore


class Previous(NamedTuple):
    """A new reading of a container, beside what is known from the reading before it."""

    time: float  # of the new reading, by the kubelet's clock
    run: int  # readings in a row that agreed, up to the one before
    moment: float | None  # when the one before was made, by our clock
    implied: float  # seconds between the two by counters and the kubelet's own rate; 0: unknown


class Finding(Enum):
    """What an answer shows of the bounds."""

    FIRST = auto()  # there are none yet
    CONSISTENT = auto()  # they still hold
    JUMPED = auto()  # all stats known to be read at request time are outside: a clock jumped
    REFUTED = auto()  # the newest stat is outside, and nothing is known: they were a wrong guess


class Agreement(NamedTuple):
    """The new readings of a quick answer, and those among them that agree with earlier ones."""

    agreeing: list[Previous]
    readings: int
    moment: float  # the middle of the exchange, in our seconds


class Reaction(NamedTuple):
    """What follows from a finding: whether the bounds begin anew, and what the evidence is then."""

    restart: bool
    evidence: Callable[[int, Agreement], int]


def _counted(evidence: int, agreement: Agreement) -> int:
    """Count how many of an answer's new readings agree that they were made at request time."""
    agreeing = len(agreement.agreeing)
    if evidence < CERTAIN and _read_together(agreement):
        return DOUBT
    if not agreeing:
        return evidence
    together = agreeing >= 3 and agreeing >= NEARLY_ALL * agreement.readings
    weight = 1 if not together else ENOUGH if agreeing >= 5 else 4
    return min(CERTAIN, evidence + weight)


REACTIONS: Mapping[Finding, Reaction] = {
    Finding.FIRST: Reaction(restart=True, evidence=_counted),
    Finding.CONSISTENT: Reaction(restart=False, evidence=_counted),
    Finding.JUMPED: Reaction(restart=True, evidence=lambda before, _: before - CERTAIN // 2),
    Finding.REFUTED: Reaction(restart=True, evidence=lambda *_: DOUBT),
}


def _read_together(agreement: Agreement) -> bool:
    """Return whether the kubelet's own rates have the same window for all, and that is not ours."""
    implied = [new.implied for new in agreement.agreeing if new.implied > 0]
    if len(implied) < 2:
        return False
    least, most = min(implied), max(implied)
    by_our_clock = agreement.moment - (agreement.agreeing[0].moment or 0.0)
    return most - least < SAME * most and abs(most - by_our_clock) > 0.005 * by_our_clock
