"""One node in the store: its clock, its pods, and its own stat."""

from __future__ import annotations

from collections.abc import Iterable

from metricsapi.storage.clock import LONG_RUN, Known, NodeClock, Placement
from metricsapi.storage.columns import Columns
from metricsapi.storage.pod import Key, Pod
from metricsapi.storage.rates import Stat, advance, restarted
from metricsapi.storage.types import (
    ContainerSample,
    NodeSample,
    NodeUsage,
    PodStats,
    Told,
    epoch_seconds,
)

EXACT = 100_000  # nanocores: a rate below this is rounded too much to tell a window


class Node:
    """All that is remembered of one node; `turn` is the number of its last answer."""

    __slots__ = (
        "clock", "columns", "containers", "has_swap", "last_good", "left", "name", "pods", "stat",
        "step", "turn", "usage", "wall_offset",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock = NodeClock()
        self.pods: dict[Key, Pod] = {}
        self.columns = Columns()  # of those that are steady
        self.turn = 0
        self.left = False  # whether its last answer told of pods that were not steady
        self.stat: Stat | None = None
        self.usage: NodeUsage | None = None
        self.has_swap = False
        self.step = 0.0  # what its last answer's times were cut to
        self.last_good = 0.0  # when that came, in monotonic seconds
        self.wall_offset = 0.0
        self.containers = 0

    def stats(self, pod: Pod) -> Iterable[Stat]:
        """Give the stats of one of its pods, wherever they are."""
        return self.columns.stats(pod) if pod.first >= 0 else pod.stats

    def place(self, sample: NodeSample, told: set[Told], step: float) -> Placement:
        """Ask the clock about an answer whose containers were read at the times `told`."""
        times = {time for one in told if (time := epoch_seconds(one)) is not None}
        return self.clock.place(
            times, sample.requested_at, sample.answered_at, step, lambda: self._known(sample)
        )

    def put(self, new: ContainerSample, placed: Placement) -> None:
        """Take the node's own stats."""
        stat = self.stat
        if stat is None or restarted(stat, new):
            stat = self.stat = Stat(self.name, new.start)
        if advance(stat, new, placed, LONG_RUN):
            self.usage = None

    def _known(self, sample: NodeSample) -> list[Known]:
        found = []
        stats = {
            (*pod.key, stat.name): stat for pod in self.pods.values() for stat in self.stats(pod)
        }
        for ref, new in sample.containers():
            stat = stats.get((ref.namespace, ref.name, new.name))
            if stat is not None and new.cpu_time is not None and new.cpu_time != stat.time:
                grown = (new.cpu_counter or 0) - stat.counter
                rate = new.cpu_rate or 0
                implied = grown / rate if rate >= EXACT and stat.counter >= 0 else 0.0
                found.append(Known(new.cpu_time, stat.run, stat.moment, implied))
        return found


def read_when(pods: Iterable[PodStats]) -> set[Told]:
    """Give when the CPU counters of containers were read, as told."""
    return {one.cpu.time for pod in pods for one in pod.containers or () if one.cpu is not None}


def has_swap(stats: ContainerSample) -> bool:
    """Tell whether a node has swap, by its own stats."""
    return (stats.swap or 0) + (stats.swap_available or 0) > 0
