"""One pod in the store: its containers' stats, advanced together, and the usage that follows.

A pod is served whole or not at all, so its usage is made once all of its containers are known.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from math import inf
from operator import attrgetter

from metricsapi.kube.name_validation import are_labels, is_subdomain
from metricsapi.storage.clock import RUN, Placement
from metricsapi.storage.rates import Stat, advance, restarted
from metricsapi.storage.types import (
    ContainerSample,
    ContainerUsage,
    PodStats,
    PodUsage,
    Told,
    epoch_seconds,
)

Key = tuple[str, str]  # namespace, name
_LONGEST_UID = 253  # characters; nobody names a limit, and real ones have 36 or 32
_name = attrgetter("name")


class Pod:
    """A pod as its node's last answer listed it; `turn` is the number of that answer."""

    __slots__ = (
        "first", "key", "node", "shown", "since", "stats", "turn", "uid", "usage",
    )  # fmt: skip

    def __init__(self, key: Key, node: str, uid: str) -> None:
        self.key = key
        self.node = node
        self.uid = uid
        self.turn = 0
        self.stats: tuple[Stat, ...] = ()  # of its containers by name, unless these are in columns
        self.first = -1  # their first row in the node's columns; -1 while they are not there
        self.since = 0.0  # `usage` is current until `max_age` after this
        self.usage: PodUsage | None = None  # None: not made since the last change
        self.shown = False  # whether it is what is served under its key


def advance_containers(pod: Pod, samples: Sequence[ContainerSample], placed: Placement) -> bool:
    """Take a pod's samples into its stats, as `rates` says; tell whether anything changed."""
    last = _last_of_each_name(samples)
    kept = {stat.name: stat for stat in pod.stats}
    changed = last.keys() != kept.keys()
    stats = []
    for name, new in last.items():
        stat = kept.get(name)
        if stat is None or restarted(stat, new):
            stat = Stat(sys.intern(new.name), new.start)
            changed = True
        elif epoch_seconds(new.start) is not None:
            stat.start = new.start  # the same time, as it is told now
        if advance(stat, new, placed, RUN):
            changed = True
        stats.append(stat)
    pod.stats = tuple(sorted(stats, key=_name))
    return changed


def well_named(pod: PodStats) -> bool:
    """Tell whether a pod's names are such as the API server takes, and its uid no longer."""
    ref = pod.pod_ref
    if len(ref.uid) > _LONGEST_UID:
        return False
    containers = [one.name for one in pod.containers or ()]
    return is_subdomain(ref.name) and are_labels([ref.namespace, *containers])


def _last_of_each_name(samples: Sequence[ContainerSample]) -> dict[str, ContainerSample]:
    """A container that was just restarted may be listed twice: the one that started last counts."""
    last: dict[str, ContainerSample] = {}
    for new in samples:
        other = last.get(new.name)
        if other is None or _seconds(new.start) >= _seconds(other.start):
            last[new.name] = new
    return last


def make_usage(pod: Pod, *, has_swap: bool) -> PodUsage | None:
    """Make a pod's usage, or give None while one of its containers has none."""
    earliest, since = None, inf
    containers = []
    for stat in pod.stats:
        if stat.cpu < 0 or stat.memory < 0:
            return None
        if earliest is None or stat.timestamp < earliest.timestamp:
            earliest = stat
        since = min(since, stat.cpu_since, stat.memory_since)
        swap = stat.swap if has_swap else None
        containers.append(
            ContainerUsage(stat.name, round(stat.cpu), stat.memory, swap, stat.ephemeral_storage)
        )
    if earliest is None:  # it has no containers
        return None
    pod.since = since
    pod.usage = PodUsage(*pod.key, pod.node, earliest.timestamp, earliest.window, tuple(containers))
    return pod.usage


def started(stats: Iterable[Stat]) -> float:
    return max([_seconds(stat.start) for stat in stats], default=0.0)


def newest(samples: Sequence[ContainerSample]) -> float:
    return max([_seconds(new.start) for new in samples], default=0.0)


def _seconds(start: Told) -> float:
    return epoch_seconds(start) or 0.0
