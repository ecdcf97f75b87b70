"""Which rows of a node's columns are whose, and what an answer tells of them.

What is looked at for each pod and container of each answer is here, in few and small places: no
`Pod` is touched, since the processor would wait for each of them in memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import nan

from metricsapi.storage.pod import Pod
from metricsapi.storage.rates import Stat
from metricsapi.storage.types import PodRef, PodStats, Told, ephemeral_storage, epoch_seconds

# Of one container that tells of them: swap and ephemeral storage, in bytes.
More = tuple[int | None, int | None]
# The containers of a pod by name, and which of its rows each has.
Layout = Mapping[str, int]


class Gathered:
    """What an answer tells of the rows, while it is not known yet when that was read."""

    __slots__ = (
        "broken", "counters", "left", "memories", "more", "said", "times", "whole",
    )  # fmt: skip

    def __init__(self, rows: int) -> None:
        self.counters = [0] * rows
        self.memories = [0] * rows
        self.times: list[Told] = [None] * rows
        self.said: set[Told] = set()  # the distinct ones of these
        self.more: dict[int, More] = {}
        self.whole = False  # whether every row is told of, and nothing else of any pod here
        self.left: list[PodStats] = []  # pods that are not here, or of which something else is told
        self.broken: set[int] = set()  # first rows of the latter


class Index:
    """The pods of one node's columns: each has the rows from its `first` on, a container each."""

    __slots__ = ("_marks", "firsts", "layouts", "pods", "starts", "unused")

    def __init__(self) -> None:
        # By the hashes of what tells pods from others, for the reason given at `_marks`.
        self.firsts: dict[int, int] = {}
        self.pods: list[Pod] = []  # whose each row is
        self.layouts: list[Layout] = []  # that pod's
        self.starts = array("d")  # of containers, in seconds since the epoch; 0 if not known
        # Hashes of the starts as told, since comparing these would wait for each in memory. That
        # another start has the same one is as likely as 1 in 2^64.
        self._marks = array("q")
        self.unused = False  # whether there are rows that no pod has

    def add(self, pod: Pod, stats: Sequence[Stat]) -> int:
        """Give a pod rows for its stats, the last ones; return the first of them."""
        first = pod.first = len(self.pods)
        self.firsts[key_of(pod)] = first
        self.pods += [pod] * len(stats)
        self.layouts += [_layout(tuple([stat.name for stat in stats]))] * len(stats)
        self.starts.extend([epoch_seconds(stat.start) or 0.0 for stat in stats])
        self._marks.extend([hash(stat.start) for stat in stats])
        return first

    def drop(self, pod: Pod) -> None:
        """Take its rows from a pod; they are there, unused, until `compact`."""
        del self.firsts[key_of(pod)]
        pod.first = -1
        self.unused = True

    def compact(self) -> list[int]:
        """Leave out the rows that no pod has; give those that are left, as they were numbered."""
        rows: list[int] = []
        for key, first in self.firsts.items():
            self.firsts[key] = self.pods[first].first = len(rows)
            rows += range(first, first + len(self.layouts[first]))
        self.pods = [self.pods[row] for row in rows]
        self.layouts = [self.layouts[row] for row in rows]
        self.starts = array("d", [self.starts[row] for row in rows])
        self._marks = array("q", [self._marks[row] for row in rows])
        self.unused = False
        return rows

    # One loop: a call for each container would cost half as much again.
    def gather(self, pods: Sequence[PodStats], *, has_swap: bool) -> Gathered:
        """Put together what an answer tells of the pods that are here; nothing is taken yet."""
        told = Gathered(len(self.pods))
        counters, memories, times, left = told.counters, told.memories, told.times, told.left
        firsts, layouts, marks = self.firsts, self.layouts, self._marks.tolist()
        taken = 0
        last: Told = nan
        for pod in pods:
            first = firsts.get(hash(pod.pod_ref), -1)
            if first < 0:
                left.append(pod)
                continue
            layout, containers = layouts[first], pod.containers or ()
            for new in containers:
                row, cpu, memory = layout.get(new.name), new.cpu, new.memory
                if row is None or cpu is None or memory is None:
                    break
                row += first
                time = cpu.time
                if hash(new.start_time) != marks[row] or memory.time != time:
                    break
                counter, working_set = cpu.usage_core_nano_seconds, memory.working_set_bytes
                if counter is None or working_set is None or times[row] is not None:
                    break  # the last means that a container or its pod is listed twice
                if time != last:  # nearly all are told in the same words
                    last = time
                    told.said.add(time)
                counters[row], memories[row], times[row] = counter, working_set, last
                if has_swap or new.rootfs is not None:
                    swap = new.swap.swap_usage_bytes if new.swap is not None else None
                    told.more[row] = swap, ephemeral_storage(new)
            else:
                if len(containers) == len(layout):
                    taken += 1
                    continue
            left.append(pod)
            told.broken.add(first)
        told.whole = taken == len(firsts) and not told.broken
        return told


def key_of(pod: Pod) -> int:
    """Give what a pod is found by."""
    return hash(PodRef(pod.key[1], pod.key[0], pod.uid))


@lru_cache(maxsize=1024)  # nearly all pods have names that others have, too
def _layout(names: tuple[str, ...]) -> Layout:
    return {name: row for row, name in enumerate(names)}
