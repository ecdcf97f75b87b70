"""Usage that is known at every moment: constant, or swinging around its mean.

A counter is the integral of the usage since a beginning. Of a swing that is the difference of two
cosines; by the sum formula it is a sum of two products, of which the one factors belong to the
load and the others to the moment. So thousands of counters of one moment need one sine and one
cosine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from metricsapi.tools.sandbox.state import timestamp

SWING = 0.3  # the part of its mean by which changing usage swings
CYCLE = 97.0  # seconds of one swing
HOUSEKEEPING = 10  # seconds over which a kubelet takes its own rate
_RADIANS = 2 * math.pi / CYCLE  # radians a second
_PAGES, _PAGE = 64, 4096  # bytes by which a changing working set grows each second, again and again


class Load(NamedTuple):
    """What uses `cpu` nanocores in the mean, and `memory` bytes at the least."""

    cpu: int
    even: float  # the factor of the moment's `fallen`, in nanocore-seconds; 0 where it is constant
    odd: float  # that of its `sine`
    memory: int


def load_of(cpu: int, memory: int, phase: float | None) -> Load:
    """Give a load that swings, `phase` seconds into its cycle at the beginning, or is constant."""
    if phase is None:
        return Load(cpu, 0.0, 0.0, memory)
    height = cpu * SWING / _RADIANS
    angle = _RADIANS * (phase + cpu % 89)  # no two containers swing together
    return Load(cpu, height * math.cos(angle), height * math.sin(angle), memory)


class Moment:
    """When loads are read: `now`, after `age` seconds."""

    def __init__(self, now: float, age: float, *, changing: bool) -> None:
        self.text = timestamp(now).encode()
        self._age = age
        self._fallen, self._sine = _swung(age)
        self._fallen_before, self._sine_before = _swung(age - HOUSEKEEPING)
        self._grown = (int(now) % _PAGES) * _PAGE if changing else 0

    def counter(self, of: Load) -> int:
        """Give the CPU counter in nanocore-seconds."""
        return round(of.cpu * self._age + of.even * self._fallen + of.odd * self._sine)

    def memory(self, of: Load) -> int:
        """Give the working set in bytes."""
        return of.memory + self._grown

    # One loop: calls for each of 90 loads would take most of the time of an answer.
    def stats(self, loads: Iterable[Load]) -> list[bytes | int]:
        """Give for each load CPU time, rate and counter, memory time and working set."""
        text, grown, age, earlier = self.text, self._grown, self._age, self._age - HOUSEKEEPING
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
    """Give how far the cosine has fallen from 1, and the sine."""
    return 1 - math.cos(_RADIANS * age), math.sin(_RADIANS * age)
