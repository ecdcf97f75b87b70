"""The pods of a node of which nothing is in doubt: their numbers in columns.

Nearly all pods of nearly all answers are such: the node's clock is known, and each container was
read at request time in this answer and in the one before. What `rates` says comes down to one
subtraction and one division then. In columns, which have a row for each container, these are done
for a whole node at once, and the numbers lie side by side. As a `Stat` for each container they
cost three times as much, since the processor waits for memory when they are spread over it.
A pod is let in once its stats are such, and leaves, as stats again, when an answer says anything
else of it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from operator import sub

from metricsapi.storage.clock import RUN, Fresh, Placement
from metricsapi.storage.columnindex import Gathered, Index, More
from metricsapi.storage.pod import Pod
from metricsapi.storage.rates import MOST, Stat
from metricsapi.storage.types import (
    ContainerUsage,
    NodeSample,
    PodStats,
    PodUsage,
    epoch_seconds,
)

# When what does not look fresh was read, as far as is known here.
_NEVER = Fresh(0.0, inf, 0.0)


class Columns:
    """One node's steady pods, a row for each container. Times are those of `nodeclock`."""

    __slots__ = (
        "_before", "_came", "_counters", "_index", "_last", "_made", "_memories", "_more", "_reads",
        "_windows",
    )  # fmt: skip

    def __init__(self) -> None:
        self._index = Index()
        self._made: list[Pod] = []  # that have usage
        self._came = 0.0  # when the last answer came
        self._last: Mapping[float, Fresh] = {}  # what looked fresh in it
        self._counters = array("Q")  # nanocore-seconds
        self._memories = array("Q")  # working sets, in bytes
        self._before = array("Q")  # the counters of the answer before
        self._reads: list[Fresh] = []
        self._windows: list[float] = []
        self._more: dict[int, More] = {}

    def gather(self, pods: Sequence[PodStats], *, has_swap: bool) -> Gathered:
        """Put together what an answer tells of the pods that are here; nothing is taken yet."""
        if self._index.unused:
            self._compact()
        return self._index.gather(pods, has_swap=has_swap)

    def take(self, told: Gathered, sample: NodeSample, placed: Placement) -> list[PodStats]:
        """Take what a `steady` answer tells, and give the pods that are not here any more.

        Those that were have the stats of the answer before.
        """
        before = self._reads
        fresh = {
            time: read
            for time in told.said
            if (seconds := epoch_seconds(time)) is not None
            and seconds not in self._last
            and (read := placed.fresh.get(seconds)) is not None
        }
        one = told.whole and len(fresh) == len(told.said) == 1
        if one:
            reads = list(fresh.values()) * len(told.times)
        else:
            reads = [fresh.get(time, _NEVER) for time in told.times]
        if one and before.count(before[0]) == len(before):
            window = least = reads[0].moment - before[0].moment
            windows = [window] * len(reads)
        else:
            windows = [read.moment - old.moment for read, old in zip(reads, before, strict=True)]
            least = min(windows, default=1.0)
        grown = list(map(sub, told.counters, self._counters))
        sound = least > 0 and min(grown, default=0) >= 0 and max(grown, default=0) <= MOST * least
        if not (sound and told.whole and len(fresh) == len(told.said)):
            self._part(told, sample, reads, grown, windows)
        for pod in self._made:
            if pod.first >= 0:
                pod.usage = None
        self._made = []
        self._came, self._last, self._more = placed.came, placed.fresh, told.more
        self._before, self._counters = self._counters, array("Q", told.counters)
        self._memories = array("Q", told.memories)
        self._windows, self._reads = windows, reads
        return told.left

    def admit(self, pod: Pod, placed: Placement) -> None:
        """Let a pod in that has just been taken in, if all of its stats are steady."""
        came, stats = placed.came, pod.stats
        for stat in stats:
            if stat.came != came or stat.cpu_since != came or stat.memory_since != came:
                return
            if stat.run < RUN or stat.memory_time != stat.time or stat.memory < 0:
                return
            if stat.cpu * stat.window > stat.counter:  # from before its start
                return
        if not (stats and pod.uid and pod.shown and placed.steady()):
            return
        self._came, self._last = came, placed.fresh
        pod.stats = ()
        for row, stat in enumerate(stats, self._index.add(pod, stats)):
            self._counters.append(stat.counter)
            self._memories.append(stat.memory)
            self._before.append(stat.counter - round(stat.cpu * stat.window))
            self._reads.append(placed.fresh[stat.time])
            self._windows.append(stat.window)
            if stat.swap is not None or stat.ephemeral_storage is not None:
                self._more[row] = stat.swap, stat.ephemeral_storage

    def release(self, pods: Iterable[Pod]) -> None:
        """Give these pods their stats, and let them go."""
        for pod in pods:
            if pod.first >= 0:
                pod.stats = tuple(self.stats(pod))
                self._index.drop(pod)

    def release_all(self) -> None:
        """Let all pods go."""
        self.release([self._index.pods[first] for first in self._index.firsts.values()])
        self._made = []

    def stats(self, pod: Pod) -> Iterator[Stat]:
        """Give the stats of a pod that is here."""
        for row, name in enumerate(self._index.layouts[pod.first], pod.first):
            stat, read = Stat(name, self._index.starts[row] or None), self._reads[row]
            stat.time = stat.timestamp = stat.memory_time = read.time
            stat.exact, stat.moment = read.exact, read.moment
            stat.came = stat.cpu_since = stat.memory_since = self._came
            stat.run = RUN
            stat.counter, stat.memory = self._counters[row], self._memories[row]
            stat.cpu, stat.window = self._rate(row), self._windows[row]
            stat.swap, stat.ephemeral_storage = self._more.get(row, (None, None))
            yield stat

    def usage(self, pod: Pod, *, has_swap: bool) -> PodUsage:
        """Make the usage of a pod that is here, as `make_usage` does of stats."""
        earliest = pod.first
        containers = []
        for row, name in enumerate(self._index.layouts[pod.first], pod.first):
            if self._reads[row].time < self._reads[earliest].time:
                earliest = row
            swap = ephemeral_storage = None
            if row in self._more:
                swap, ephemeral_storage = self._more[row]
            swap = swap if has_swap else None
            rate = self._rate(row)
            containers.append(
                ContainerUsage(name, round(rate), self._memories[row], swap, ephemeral_storage)
            )
        pod.since = self._came
        time, window = self._reads[earliest].time, self._windows[earliest]
        pod.usage = PodUsage(*pod.key, pod.node, time, window, tuple(containers))
        self._made.append(pod)
        return pod.usage

    def _rate(self, row: int) -> float:
        return (self._counters[row] - self._before[row]) / self._windows[row]

    def _part(
        self,
        told: Gathered,
        sample: NodeSample,
        reads: list[Fresh],
        grown: list[int],
        windows: list[float],
    ) -> None:
        """Let pods go that are not told of any more, or not as before, or whose counters jumped."""
        right = [
            read is not _NEVER and window > 0 and 0 <= more <= MOST * window
            for read, more, window in zip(reads, grown, windows, strict=True)
        ]
        index = self._index
        keys = {
            key
            for key, first in index.firsts.items()
            if first in told.broken or not all(right[first : first + len(index.layouts[first])])
        }
        self.release([index.pods[index.firsts[key]] for key in keys])
        left = {id(pod) for pod in told.left}
        told.left = [pod for pod in sample.pods if id(pod) in left or hash(pod.pod_ref) in keys]

    def _compact(self) -> None:
        """Leave out the rows that no pod has."""
        rows = self._index.compact()
        self._counters = array("Q", [self._counters[row] for row in rows])
        self._memories = array("Q", [self._memories[row] for row in rows])
        self._before = array("Q", [self._before[row] for row in rows])
        self._reads = [self._reads[row] for row in rows]
        self._windows = [self._windows[row] for row in rows]
        self._more = {new: self._more[row] for new, row in enumerate(rows) if row in self._more}
