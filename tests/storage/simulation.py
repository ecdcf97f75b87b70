"""A simulated kubelet that knows the truth: loads, clocks, and when each stat was really read.

Shares nothing with what it tests but the Summary's JSON. True time runs in seconds from 0 and is
the server's monotonic clock, too.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from random import Random

EPOCH = 1_795_000_000.0
NODE = "node-a"


class Load:
    """CPU in nanocores over true time: constant from each step's time to the next."""

    def __init__(self, *steps: tuple[float, float]) -> None:
        self.steps = sorted(steps)

    def counter(self, at: float) -> float:
        """The integral from the first step to `at`, in nanocore-seconds."""
        ends = [*self.steps[1:], (float("inf"), 0.0)]
        return sum(
            rate * (min(at, end) - begin)
            for (begin, rate), (end, _) in zip(self.steps, ends, strict=True)
            if begin < at
        )

    def rates(self, begin: float, end: float) -> list[float]:
        """Every rate there was between two times."""
        first = max(0, bisect_right(self.steps, (begin, float("inf"))) - 1)
        return [rate for at, rate in self.steps[first:] if at < end]


@dataclass
class Sampled:
    """One reading: its true time, the counter then, and the kubelet's own rate then."""

    at: float
    counter: int
    rate: int | None
    since: float  # begin of the interval of the kubelet's own rate


@dataclass
class SimStat:
    """A container or node. `ticks` are its housekeeping times; without any it is read on request.

    `rate_error` is how wrong the kubelet's rate is, as a fraction, for one read on request.
    """

    name: str
    load: Load
    start: float = -1000.0
    ticks: list[float] = field(default_factory=list)
    rate_error: float = 0.0
    history: list[Sampled] = field(default_factory=list)  # distinct readings that were answered

    def read(self, at: float, random: Random) -> Sampled:
        if not self.ticks:
            counter, error = self.load.counter(at), random.uniform(-1, 1) * self.rate_error
            rate = (counter - self.load.counter(at - 10)) / 10 * (1 + error)
            sampled = Sampled(at, round(counter), round(rate), at - 10)
        else:
            last = bisect_right(self.ticks, at) - 1
            before, tick = self.ticks[last - 1], self.ticks[last]
            grown = self.load.counter(tick) - self.load.counter(before)
            sampled = Sampled(
                tick, round(self.load.counter(tick)), round(grown / (tick - before)), before
            )
        if not self.history or sampled.at != self.history[-1].at:
            self.history.append(sampled)
        return sampled

    def window(self) -> tuple[float, float]:
        """The true times of its last two distinct readings."""
        return self.history[-2].at, self.history[-1].at


def housekeeping(random: Random, until: float, least: float = 10.0, most: float = 20.0):
    """Times of housekeeping, each `least` to `most` seconds after the one before."""
    at = -random.uniform(20, 60)
    ticks = []
    while at < until:
        ticks.append(at)
        at += random.uniform(least, most)
    return ticks


@dataclass
class SimKubelet:
    """One node: its own stat and its containers, each in a pod of its own by default."""

    random: Random
    node: SimStat
    pods: dict[str, list[SimStat]]
    offset: float = EPOCH  # its clock minus true time
    jumps: list[tuple[float, float]] = field(default_factory=list)  # (true time, seconds)
    uids: dict[str, str] = field(default_factory=dict)

    def clock(self, at: float) -> float:
        return at + self.offset + sum(by for when, by in self.jumps if when <= at)

    def answer(self, at: float, *, takes: float = 0.03) -> tuple[bytes, dict[str, float]]:
        """Return the Summary's body asked for at `at`, and our times of the exchange."""
        answered = at + takes * self.random.uniform(0.5, 1.0)
        pods = [
            {
                "podRef": {"namespace": "ns", "name": name, "uid": self.uids.get(name, name)},
                "containers": [
                    {"name": each.name, **self._fields(each, at, answered)} for each in containers
                ],
            }
            for name, containers in self.pods.items()
        ]
        node = {"nodeName": NODE, **self._fields(self.node, at, answered)}
        body = json.dumps({"node": node, "pods": pods}).encode()
        return body, {"requested_at": at, "answered_at": answered, "wall_offset": EPOCH}

    def _fields(self, stat: SimStat, asked: float, answered: float) -> dict:
        sampled = stat.read(self.random.uniform(asked, answered), self.random)
        time = self._iso(self.clock(sampled.at))
        return {
            "startTime": self._iso(stat.start + self.offset),
            "cpu": {
                "time": time,
                "usageNanoCores": sampled.rate,
                "usageCoreNanoSeconds": sampled.counter,
            },
            "memory": {"time": time, "workingSetBytes": 4096},
        }

    @staticmethod
    def _iso(seconds: float) -> str:
        return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def scrapes(random: Random, count: int, period: float, *, exact: bool) -> list[float]:
    """Return the times we ask at: every `period` seconds, to a few milliseconds or to half one."""
    first = random.uniform(0, 10)
    wobble = 0.002 if exact else 0.3
    times = [first + i * period + random.uniform(0, wobble) for i in range(count)]
    assert all(later > earlier for earlier, later in pairwise(times))
    return times
