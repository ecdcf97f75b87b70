"""One pod in the store: its containers' stats, advanced together, and the usage that follows.

A pod is served whole or not at all, so its usage is made once all of its containers are known.
"""

from __future__ import annotations

import sys
from math import inf
from operator import attrgetter

from msgspec import Struct

from metricsapi.nodeclock import RUN, Placement
from metricsapi.rates import Stat, advance, advance_steadily, restarted
from metricsapi.samples import ContainerSample, ContainerUsage, PodSample, PodUsage

Key = tuple[str, str]  # namespace, name
_name = attrgetter("name")


class Pod(Struct, gc=False):
    """A pod as its node's last answer listed it; `turn` is the number of that answer."""

    key: Key
    node: str
    uid: str
    turn: int
    stats: tuple[Stat, ...]
    since: float = 0.0  # `usage` is current until `max_age` after this
    usage: PodUsage | None = None  # None: not made since the last change
    shown: bool = False  # whether it is what is served under its key


def advance_containers(
    pod: Pod,
    samples: list[ContainerSample],
    came: float,
    placed: Placement,
    step: float,
    steady: bool,
) -> bool:
    """Take a pod's samples into its stats, as `rates` says; tell whether anything changed."""
    kept = pod.stats
    if steady and _all_steadily(kept, samples, came, placed, step):
        return True
    changed = any(stat.came == came for stat in kept)  # some of them were advanced just now
    if [stat.name for stat in kept] != [new.name for new in samples]:
        samples = _last_of_each_name(samples)
        named = {stat.name: stat for stat in kept}
        kept = tuple([named.get(new.name) or _new_stat(new) for new in samples])
        changed |= {id(stat) for stat in kept} != {id(stat) for stat in pod.stats}
        pod.stats = kept
    for stat, new in zip(kept, samples, strict=True):
        if restarted(stat, new):
            stat = _new_stat(new)  # noqa: PLW2901
            pod.stats = tuple([stat if one.name == new.name else one for one in pod.stats])
            changed = True
        if advance(stat, new, came, placed, RUN, step):
            changed = True
    return changed


def _all_steadily(
    kept: tuple[Stat, ...],
    samples: list[ContainerSample],
    came: float,
    placed: Placement,
    step: float,
) -> bool:
    """Advance all of a pod's containers the quick way, or tell that it does not do for one."""
    if len(kept) != len(samples):
        return False
    for stat, new in zip(kept, samples, strict=True):
        if stat.name != new.name or stat.start != new.start:
            return False
        if not advance_steadily(stat, new, came, placed, step):
            return False
    return True


def _new_stat(new: ContainerSample) -> Stat:
    return Stat(sys.intern(new.name), new.start)


def _last_of_each_name(samples: list[ContainerSample]) -> list[ContainerSample]:
    """A container that was just restarted may be listed twice: the one that started last counts."""
    last: dict[str, ContainerSample] = {}
    for new in samples:
        other = last.get(new.name)
        if other is None or (new.start or 0.0) >= (other.start or 0.0):
            last[new.name] = new
    return list(last.values())


def make_usage(pod: Pod, *, has_swap: bool) -> PodUsage | None:
    """Make a pod's usage, or give None while one of its containers has none."""
    if not pod.stats:
        return None
    earliest, since = pod.stats[0], inf
    containers = []
    for stat in pod.stats:
        if stat.cpu < 0 or stat.memory < 0:
            return None
        if stat.timestamp < earliest.timestamp:
            earliest = stat
        since = min(since, stat.cpu_since, stat.memory_since)
        swap = stat.swap if has_swap else None
        containers.append(
            ContainerUsage(stat.name, stat.cpu, stat.memory, swap, stat.ephemeral_storage)
        )
    containers.sort(key=_name)
    pod.since = since
    pod.usage = PodUsage(*pod.key, pod.node, earliest.timestamp, earliest.window, tuple(containers))
    return pod.usage


def started(pod: Pod) -> float:
    return max([stat.start or 0.0 for stat in pod.stats], default=0.0)


def newest(sample: PodSample) -> float:
    return max([new.start or 0.0 for new in sample.containers], default=0.0)
