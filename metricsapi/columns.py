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
from math import inf, nan
from operator import sub

from metricsapi.nodeclock import RUN, Fresh, Placement
from metricsapi.podstats import Pod
from metricsapi.rates import MOST, Stat
from metricsapi.samples import (
    ContainerUsage,
    NodeSample,
    PodRef,
    PodStats,
    PodUsage,
    Told,
    ephemeral_storage,
    epoch_seconds,
)

# When what does not look fresh was read, as far as is known here.
_NEVER = Fresh(0.0, inf, 0.0)

_MOST_CONTAINERS = 64  # of a pod, since each is looked for among all of them

# Of one container that tells of them: swap and ephemeral storage, in bytes.
_More = tuple[int | None, int | None]


class _Told:
    """What an answer tells of the rows, while it is not known yet when that was read."""

    __slots__ = (
        "again", "broken", "counters", "left", "memories", "more", "said", "taken", "times", "turn",
    )  # fmt: skip

    def __init__(self, turn: int, counters: list[int], memories: list[int]) -> None:
        self.turn = turn
        self.counters = counters
        self.memories = memories
        self.times: list[Told] = [None] * len(counters)
        self.said: set[Told] = set()  # the distinct ones of these
        self.more: dict[int, _More] = {}
        self.taken = 0  # pods
        self.left: list[PodStats] = []
        self.broken: list[Pod] = []  # of those here, the ones of which something else is told
        self.again: set[int] = set()  # keys of pods that are listed more than once


class Columns:
    """One node's steady pods: each has the rows from its `first` on, one for each of its `names`.

    Times are those of `nodeclock`.
    """

    __slots__ = (
        "_before", "_came", "_counters", "_last", "_layouts", "_marks", "_memories", "_more",
        "_pods", "_reads", "_starts", "_unused", "_windows",
    )  # fmt: skip

    def __init__(self) -> None:
        # By the hashes of what tells them from others, for the reason given at `_marks`.
        self._pods: dict[int, Pod] = {}
        self._layouts: dict[tuple[str, ...], tuple[str, ...]] = {}  # names, held once
        self._came = 0.0  # when the last answer came
        self._last: Mapping[float, Fresh] = {}  # what looked fresh in it
        self._counters = array("Q")  # nanocore-seconds
        self._memories = array("Q")  # working sets, in bytes
        self._before = array("Q")  # the counters of the answer before
        self._reads: list[Fresh] = []
        self._windows: list[float] = []
        self._starts = array("d")  # of containers, in seconds since the epoch; 0 if not known
        # Hashes of the starts as told, since comparing these would wait for each in memory. That
        # another start has the same one is as likely as 1 in 2^64.
        self._marks = array("q")
        self._more: dict[int, _More] = {}
        self._unused = False  # whether there are rows that no pod has

    # One loop: a call for each container would cost half as much again.
    def gather(  # noqa: C901
        self, turn: int, pods: Sequence[PodStats], *, has_swap: bool
    ) -> _Told:
        """Put together what an answer tells of the pods that are here; nothing is taken yet."""
        if self._unused:
            self._compact()
        here = self._pods
        told = _Told(turn, self._counters.tolist(), self._memories.tolist())
        counters, memories, times, left = told.counters, told.memories, told.times, told.left
        marks = self._marks.tolist()
        last: Told = nan
        for pod in pods:
            key = hash(pod.pod_ref)
            kept, containers = here.get(key), pod.containers or ()
            if kept is None:
                left.append(pod)
                continue
            if kept.turn == turn:
                told.again.add(key)
            kept.turn, names, first = turn, kept.names, kept.first
            for new in containers:
                name, cpu, memory = new.name, new.cpu, new.memory
                if name not in names or cpu is None or memory is None:
                    break
                row, time = first + names.index(name), cpu.time
                if hash(new.start_time) != marks[row] or memory.time != time:
                    break
                counter, working_set = cpu.usage_core_nano_seconds, memory.working_set_bytes
                if counter is None or working_set is None or times[row] is not None:
                    break  # the last means that a container is listed twice
                if time != last:  # nearly all are told in the same words
                    last = time
                    told.said.add(time)
                counters[row], memories[row], times[row] = counter, working_set, last
                if has_swap or new.rootfs is not None:
                    swap = new.swap.swap_usage_bytes if new.swap is not None else None
                    told.more[row] = swap, ephemeral_storage(new)
            else:
                if len(containers) == len(names) and kept.shown:
                    kept.usage = None
                    told.taken += 1
                    continue
            left.append(pod)
            told.broken.append(kept)
        return told

    def take(self, told: _Told, sample: NodeSample, placed: Placement) -> list[PodStats]:
        """Take what a `steady` answer tells, and give the pods that are not here any more.

        Those that were have the stats of the answer before.
        """
        pods, turn, before = self._pods, told.turn, self._reads
        if told.taken < len(pods):
            gone = [pod for pod in pods.values() if pod.turn != turn]
            self.release([*gone, *told.broken])
        fresh = {
            time: read
            for time in told.said
            if (seconds := sample.seconds[time]) is not None
            and seconds not in self._last
            and (read := placed.fresh.get(seconds)) is not None
        }
        if len(told.said) == 1 and not self._unused:
            reads = list(fresh.values() or [_NEVER]) * len(told.times)
        else:
            reads = [fresh.get(time, _NEVER) for time in told.times]
        if _all_one(reads) and _all_one(before):
            windows = [reads[0].moment - before[0].moment] * len(reads)
        else:
            windows = [read.moment - old.moment for read, old in zip(reads, before, strict=True)]
        grown = list(map(sub, told.counters, self._counters))
        least, most, window = min(grown, default=0), max(grown, default=0), min(windows, default=1)
        wrong = _NEVER in reads or least < 0 or window <= 0 or most > MOST * window
        if wrong or told.again:
            keys = told.again | self._wrong(reads, grown, windows)
            self.release([pods[key] for key in keys if key in pods])
            left = {id(pod) for pod in told.left}
            told.left = [pod for pod in sample.pods if id(pod) in left or hash(pod.pod_ref) in keys]
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
        if not (0 < len(stats) <= _MOST_CONTAINERS and pod.uid and pod.shown and placed.steady()):
            return
        self._came, self._last = came, placed.fresh
        self._pods[_key(pod)] = pod
        pod.first, pod.stats = len(self._reads), ()
        names = tuple([stat.name for stat in stats])
        pod.names = self._layouts.setdefault(names, names)
        for row, stat in enumerate(stats, pod.first):
            self._counters.append(stat.counter)
            self._memories.append(stat.memory)
            self._starts.append(epoch_seconds(stat.start) or 0.0)
            self._marks.append(hash(stat.start))
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
                pod.first, pod.names = -1, ()
                del self._pods[_key(pod)]
                self._unused = True

    def release_all(self) -> None:
        """Let all pods go."""
        self.release(list(self._pods.values()))

    def stats(self, pod: Pod) -> Iterator[Stat]:
        """Give the stats of a pod that is here."""
        for row, name in enumerate(pod.names, pod.first):
            stat, read = Stat(name, self._starts[row] or None), self._reads[row]
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
        for row, name in enumerate(pod.names, pod.first):
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
        return pod.usage

    def _rate(self, row: int) -> float:
        return (self._counters[row] - self._before[row]) / self._windows[row]

    def _wrong(self, reads: list[Fresh], grown: list[int], windows: list[float]) -> set[int]:
        """Give the keys of pods that were not read now, or whose counters jumped."""
        right = [
            read is not _NEVER and window > 0 and 0 <= more <= MOST * window
            for read, more, window in zip(reads, grown, windows, strict=True)
        ]
        return {
            key
            for key, pod in self._pods.items()
            if not all(right[pod.first : pod.first + len(pod.names)])
        }

    def _compact(self) -> None:
        """Drop the rows that no pod has."""
        rows: list[int] = []
        for pod in self._pods.values():
            first, pod.first = pod.first, len(rows)
            rows += range(first, first + len(pod.names))
        self._counters = array("Q", [self._counters[row] for row in rows])
        self._memories = array("Q", [self._memories[row] for row in rows])
        self._before = array("Q", [self._before[row] for row in rows])
        self._reads = [self._reads[row] for row in rows]
        self._windows = [self._windows[row] for row in rows]
        self._starts = array("d", [self._starts[row] for row in rows])
        self._marks = array("q", [self._marks[row] for row in rows])
        self._more = {new: self._more[row] for new, row in enumerate(rows) if row in self._more}
        self._layouts = {pod.names: pod.names for pod in self._pods.values()}
        self._unused = False


def _all_one(reads: list[Fresh]) -> bool:
    return bool(reads) and reads.count(reads[0]) == len(reads)


def _key(pod: Pod) -> int:
    return hash(PodRef(pod.key[1], pod.key[0], pod.uid))
