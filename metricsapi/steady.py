"""The quick way from an answer into the store, for pods of which nothing is in doubt.

Nearly all pods of nearly all answers are such: the node's clock is known, and each container was
read at request time in this answer and in the one before. What `rates` says comes down to a few
subtractions then, which cost a third of the thorough way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

from metricsapi.nodeclock import LONG_RUN, RUN, Placement
from metricsapi.podstats import Key, Pod
from metricsapi.rates import MOST, Stat, exact_time
from metricsapi.samples import ContainerStats, NodeSample, PodStats, Told, ephemeral_storage


class _Fresh:
    """A told time that looks fresh, and what follows from it for a stat.

    A node's containers are read together, answer after answer, so that what follows for one of them
    nearly always follows for the next: it is worked out once, and they hold the same numbers, not
    equal ones, which is less memory to keep and to reach.
    """

    __slots__ = ("exact", "exact_before", "moment", "moment_before", "step", "time", "window")

    def __init__(self, time: float, moment: float, step: float) -> None:
        self.time = time
        self.moment = moment
        self.step = step
        self.exact = self.window = 0.0
        self.exact_before = self.moment_before = nan

    def follow(self, stat: Stat) -> None:
        """Work out window and exact time for stats that were last read when this one was."""
        self.exact_before, self.moment_before = stat.exact, stat.moment
        self.window = self.moment - stat.moment
        self.exact = exact_time(stat.exact + self.window, self.time, self.step)


def put_steadily(
    pods: Mapping[Key, Pod], turn: int, sample: NodeSample, placed: Placement
) -> list[PodStats]:
    """Take the pods of a `steady` answer of which nothing is in doubt, and give those left."""
    seconds, moments = sample.seconds, placed.moments
    fresh = {
        told: _Fresh(time, moments[time], placed.step)
        for told, time in seconds.items()
        if time is not None and time in moments
    }
    left = []
    for pod in sample.pods:
        ref = pod.pod_ref
        kept = pods.get((ref.namespace, ref.name))
        if (
            kept is not None
            and kept.shown
            and kept.uid == ref.uid
            and advance_steadily(kept.stats, pod.containers or (), seconds, fresh, placed)
        ):
            kept.turn = turn
            kept.usage = None
        else:
            left.append(pod)
    return left


# Calls inside the loop would cost half as much again.
def advance_steadily(  # noqa: C901
    stats: Sequence[Stat],
    containers: Sequence[ContainerStats],
    seconds: Mapping[Told, float | None],
    fresh: Mapping[Told, _Fresh],
    placed: Placement,
) -> bool:
    """Do what `advance` does for all containers of a pod, when nothing is in doubt of any of them.

    For answers that are `steady`, and stats that were read at request time in the answer before,
    too. Where one was not it gives False: then `advance` does the rest. `fresh` are the told times
    that look fresh.
    """
    if len(containers) != len(stats):
        return False
    came, before = placed.came, placed.before
    for new in containers:
        name, cpu, memory = new.name, new.cpu, new.memory
        for stat in stats:
            if stat.name == name:
                break
        else:
            return False
        if cpu is None or memory is None or stat.start != new.start_time:
            return False
        if stat.came != before or stat.run < RUN - 1:
            return False
        at = fresh.get(cpu.time)
        counter, working_set = cpu.usage_core_nano_seconds, memory.working_set_bytes
        if at is None or counter is None or working_set is None:
            return False
        if stat.exact != at.exact_before or stat.moment != at.moment_before:
            at.follow(stat)
        time, window = at.time, at.window
        rate = (counter - stat.counter) / window
        if time == stat.time or rate < 0.0 or rate > MOST:
            return False
        stat.time = stat.timestamp = time
        stat.came = stat.cpu_since = came
        stat.exact, stat.moment, stat.counter = at.exact, at.moment, counter
        if stat.run < LONG_RUN:
            stat.run += 1
        stat.cpu, stat.window = rate, window
        told = memory.time
        memory_time = time if told == cpu.time else seconds[told] or time
        if memory_time != stat.memory_time or working_set != stat.memory:
            stat.memory, stat.memory_time, stat.memory_since = working_set, memory_time, came
        stat.swap = new.swap.swap_usage_bytes if new.swap is not None else None
        stat.ephemeral_storage = ephemeral_storage(new) if new.rootfs is not None else None
    return True
