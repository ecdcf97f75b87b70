"""Usage that is known at every moment: constant, swinging around its mean, or stepping.

A counter is the integral of the usage since a beginning. Of a swing that is the difference of two
cosines; by the sum formula it is a sum of two products, of which the one factors belong to the
load and the others to the moment. So thousands of counters of one moment need one sine and one
cosine.

Stepping usage is alternately its mean and `HIGH` times as much; then a working set also encodes
when it was read, to the millisecond (`read_at`), whatever times an answer has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from metricsapi.tools.sandbox.state import timestamp

SWING = 0.3  # the part of its mean by which changing usage swings
CYCLE = 97.0  # seconds of one swing
HOUSEKEEPING = 10  # seconds over which a kubelet takes its own rate
HIGH = 2.0  # times its mean that stepping usage is after a step up
# Seconds by which half of the stepping loads step later. Loads that are all in one proportion at
# all times are not what containers have: it looks as if housekeeping had read all of them at once.
LATER = 0.2
MILLISECONDS = 2**20  # after which the milliseconds in a working set begin again
_RADIANS = 2 * math.pi / CYCLE  # radians a second
_PAGES, _PAGE = 64, 4096  # bytes by which a changing working set grows each second, again and again


class Load(NamedTuple):
    """What uses `cpu` nanocores in the mean, and `memory` bytes at the least."""

    cpu: int
    even: float  # the factor of the moment's `fallen`, in nanocore-seconds; 0 where it is constant
    odd: float  # that of its `sine`
    memory: int


def load_of(cpu: int, memory: int, phase: float | None) -> Load:
    """Return a load that swings, and begins `phase` seconds into its cycle, or a constant load."""
    if phase is None:
        return Load(cpu, 0.0, 0.0, memory)
    height = cpu * SWING / _RADIANS
    angle = _RADIANS * (phase + cpu % 89)  # no two containers swing together
    return Load(cpu, height * math.cos(angle), height * math.sin(angle), memory)


def stepping_load(cpu: int, memory: int) -> Load:
    """Return a load that steps at the times of a `Moment`, or a little later."""
    later = cpu % 89 % 2
    return Load(cpu, float(cpu) * later, 0.0, memory)


class Moment:
    """When loads are read: `now`, after `age` seconds.

    With `step` they step up and down after so many seconds each, up to `now` in epoch seconds.
    """

    def __init__(self, now: float, age: float, *, changing: bool, step: float = 0.0) -> None:
        self.text = timestamp(now).encode()
        self._age, self._age_before = age, age - HOUSEKEEPING
        self._fallen, self._sine = _swung(age)
        self._fallen_before, self._sine_before = _swung(age - HOUSEKEEPING)
        self._grown = (int(now) % _PAGES) * _PAGE if changing else 0
        if step:
            self._age, self._fallen = _stepped(now - age, now, step)
            self._age_before, self._fallen_before = _stepped(now - age, now - HOUSEKEEPING, step)
            self._grown = int(now * 1000) % MILLISECONDS

    def counter(self, of: Load) -> int:
        """Return the CPU counter in nanocore-seconds."""
        return round(of.cpu * self._age + of.even * self._fallen + of.odd * self._sine)

    def memory(self, of: Load) -> int:
        """Return the working set in bytes."""
        return of.memory + self._grown

    # One loop: calls for each of 90 loads would take most of the time of an answer.
    def stats(self, loads: Iterable[Load]) -> list[bytes | int]:
        """Return for each load CPU time, rate and counter, memory time and working set."""
        text, grown, age, earlier = self.text, self._grown, self._age, self._age_before
        fallen, sine = self._fallen, self._sine
        fallen_before, sine_before = self._fallen_before, self._sine_before
        values: list[bytes | int] = []
        for cpu, even, odd, memory in loads:
            counter = round(cpu * age + even * fallen + odd * sine)
            before = round(cpu * earlier + even * fallen_before + odd * sine_before)
            rate = (counter - before) // HOUSEKEEPING
            values += (text, rate, counter, text, memory + grown)
        return values


def _swung(age: float) -> tuple[float, float]:
    """Return how far the cosine has fallen from 1, and the sine."""
    return 1 - math.cos(_RADIANS * age), math.sin(_RADIANS * age)


def is_high(at: float, step: float) -> bool:
    """Return whether stepping usage is high at a time in epoch seconds."""
    return bool(at // step % 2)


def _stepped(began: float, now: float, step: float) -> tuple[float, float]:
    """Return the integral of stepping usage, and by how much a load that steps later exceeds it."""
    prompt, later = (
        _worked(now - delay, step) - _worked(began - delay, step) for delay in (0.0, LATER)
    )
    return prompt, later - prompt


def _worked(now: float, step: float) -> float:
    """Return the integral, up to `now` (epoch seconds), of usage that alternates 1 and `HIGH`."""
    steps, rest = divmod(now, step)
    return steps // 2 * step * (1 + HIGH) + (step + HIGH * rest if steps % 2 else rest)


def read_at(working_set: int, now: float) -> float:
    """Return when a working set of a stepping load was read, in epoch seconds, not after `now`."""
    milliseconds = int(now * 1000)
    return (milliseconds - (milliseconds - working_set) % MILLISECONDS) / 1000
