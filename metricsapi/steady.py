"""The quick way from an answer into the store, for pods of which nothing is in doubt.

Nearly all pods of nearly all answers are such: the node's clock is known, and each container was
read at request time in this answer and in the one before. What `rates` says comes down to a few
subtractions then, which cost a third of the thorough way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metricsapi.nodeclock import LONG_RUN, RUN, Placement
from metricsapi.podstats import Key, Pod
from metricsapi.rates import MOST, Stat
from metricsapi.samples import ContainerStats, NodeSample, PodStats, Told, ephemeral_storage


def put_steadily(
    pods: Mapping[Key, Pod], turn: int, sample: NodeSample, placed: Placement
) -> list[PodStats]:
    """Take the pods of a `steady` answer of which nothing is in doubt, and give those left."""
    seconds, moments = sample.seconds, placed.moments
    fresh = {
        told: (time, moments[time])
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
def advance_steadily(  # noqa: C901, PLR0912
    stats: Sequence[Stat],
    containers: Sequence[ContainerStats],
    seconds: Mapping[Told, float | None],
    fresh: Mapping[Told, tuple[float, float]],
    placed: Placement,
) -> bool:
    """Do what `advance` does for all containers of a pod, when nothing is in doubt of any of them.

    For answers that are `steady`, and stats that were read at request time in the answer before,
    too. Where one was not it gives False: then `advance` does the rest. `fresh` are the told times
    that look fresh: each in seconds since the epoch, and when it was by our clock.
    """
    if len(containers) != len(stats):
        return False
    came, before, latest = placed.came, placed.before, placed.step * 0.999
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
        time, moment = at
        grown, window = counter - stat.counter, moment - stat.moment
        rate = grown / window
        if time == stat.time or rate < 0.0 or rate > MOST:
            return False
        exact = stat.exact + window
        if exact < time:
            exact = time
        elif exact > time + latest:
            exact = time + latest
        stat.exact = exact
        stat.time = stat.timestamp = time
        stat.came = stat.cpu_since = came
        stat.moment, stat.counter = moment, counter
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
