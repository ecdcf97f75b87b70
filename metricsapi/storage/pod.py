"""One pod as a node lists it: the stats of its containers, and the usage that is made of them.

A pod is served whole or not at all, so its usage is made once all of its containers are known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import inf
from operator import attrgetter

from metricsapi.kube.name_validation import are_labels, is_subdomain
from metricsapi.storage.backlog import Backlog
from metricsapi.storage.rules import Rules
from metricsapi.storage.stat import Stat, advance, finished, same_usage, started
from metricsapi.storage.types import (
    ContainerStats,
    ContainerUsage,
    PodRef,
    PodStats,
    PodUsage,
    epoch_seconds,
    start_seconds,
)

Key = tuple[str, str]  # namespace, name
LONGEST_UID = 253  # characters; nobody names a limit, and real ones have 36 or 32
_by_name = attrgetter("name")


class Pod:
    """A pod as its node's last answer listed it."""

    __slots__ = (
        "_backlog", "_replaced", "_uids", "key", "node", "ref", "shown", "since", "stats", "usage",
        "withheld",
    )  # fmt: skip

    def __init__(self, ref: PodRef, node: str, backlog: Backlog) -> None:
        self._backlog = backlog  # of its node
        self.key = ref.namespace, ref.name
        self.ref = ref
        self.node = node
        self.stats: Mapping[str, Stat] = {}  # by container; another mapping after each answer
        self.usage: PodUsage | None = None  # None: not made since the last change
        self.since = 0.0  # `usage` is current until `max_age` after this, in monotonic seconds
        self.shown = False  # whether it is what is served under its key
        self.withheld = ""  # why it is not, if the API server says so: see `claims`
        # Where it is listed without a uid: those of the object that it was taken for, and its stats
        # when another object had come.
        self._uids: tuple[str, ...] = ()
        self._replaced: Mapping[str, Stat] | None = None

    def put(self, containers: Sequence[ContainerStats], rules: Rules) -> bool:
        """Take what an answer lists as its containers; return whether their names can be."""
        before = self.stats
        stats: dict[str, Stat] = {}
        changed = renamed = False
        for new in containers:
            if new.name in stats:
                return self.put(newest_of_each(containers), rules)
            last = before.get(new.name)
            stat = advance(last, new, rules)
            stats[stat.name] = stat
            if last is None:
                changed = renamed = True
            elif not changed and stat is not last:
                changed = stat.cpu.rated is not last.cpu.rated or not same_usage(stat, last)
        if renamed and not well_named(self, stats):
            return False
        self.stats = stats
        if changed or len(stats) != len(before):
            self.usage = None
        return True

    def make_usage(self) -> PodUsage | None:
        """Return the usage, however old, or None while one of its containers has none.

        What of its node waited for somebody to ask is put first.
        """
        self._backlog.asked()
        earliest, since = None, inf
        containers = []
        for stat in running(self.sorted_stats()):
            rated, at = stat.cpu.rated, stat.working_set_at
            if rated is None or rated.cpu is None or at is None:
                return None
            if earliest is None or rated.at.time < earliest.at.time:
                earliest = rated
            since = min(since, rated.at.received, at.received)
            containers.append(
                ContainerUsage(
                    stat.name, rated.cpu, stat.working_set, stat.swap, stat.ephemeral_storage
                )
            )
        if earliest is None:  # it has no containers
            return None
        self.since = since
        self.usage = PodUsage(
            *self.key, self.node, earliest.at.time, earliest.window, tuple(containers)
        )
        return self.usage

    def sorted_stats(self) -> list[Stat]:
        """Return the stats of its containers by name."""
        return sorted(self.stats.values(), key=_by_name)

    def is_of(self, uids: Collection[str]) -> bool:
        """Return whether it may be the pod whose object has these uids now.

        Listed without a uid, it is that of the object before until its node lists it again.
        """
        if self.ref.uid:
            return self.ref.uid in uids
        if self._uids and not any(uid in uids for uid in self._uids):
            if self._replaced is None:
                self._replaced = self.stats
            if self._replaced is self.stats:
                return False
        self._uids, self._replaced = tuple(uids), None
        return True

    def started(self) -> float:
        """Return when its last container started, in seconds since the epoch; 0: unknown."""
        return max(map(started, self.stats.values()), default=0.0)


def running(stats: list[Stat]) -> list[Stat]:
    """Leave out init containers that have finished, which some kubelets list with zeros."""
    used = [stat for stat in stats if not stat.zero]
    if len(used) == len(stats):
        return stats
    others = min(filter(None, map(started, used)), default=0.0)
    return [stat for stat in stats if not finished(stat, others)]


def well_named(pod: Pod, containers: Iterable[str]) -> bool:
    """Return whether a pod's names are such as the API server takes, and its uid no longer."""
    namespace, name = pod.key
    if len(pod.ref.uid) > LONGEST_UID:
        return False
    return is_subdomain(name) and are_labels([namespace, *containers])


def each_once(pods: Sequence[PodStats]) -> Sequence[PodStats]:
    """Return each pod of an answer once: with the containers of all its entries, if it has many.

    An entry without a uid belongs to the pod of that name with a uid, if there is such a pod.
    """
    if len({pod.pod_ref.name for pod in pods}) == len(pods):
        return pods
    known = {(of.namespace, of.name): of for pod in pods if (of := pod.pod_ref).uid}
    entries: dict[PodRef, list[ContainerStats]] = {}
    for pod in pods:
        ref = pod.pod_ref
        ref = ref if ref.uid else known.get((ref.namespace, ref.name), ref)
        entries.setdefault(ref, []).extend(pod.containers or ())
    if len(entries) == len(pods):
        return pods
    return [PodStats(ref, containers) for ref, containers in entries.items()]


def newest_of_each(containers: Iterable[ContainerStats]) -> list[ContainerStats]:
    """Return each container once.

    Of one that is listed twice, as when it was just restarted, the entry that started last counts;
    of those, the one that was read last.
    """
    newest: dict[str, ContainerStats] = {}
    for container in containers:
        other = newest.get(container.name)
        if other is None or _as_new(container, other):
            newest[container.name] = container
    return list(newest.values())


def _as_new(of: ContainerStats, other: ContainerStats) -> bool:
    start, others = start_seconds(of.start_time), start_seconds(other.start_time)
    if start is not None and others is not None and start != others:
        return start > others
    return _read_at(of) >= _read_at(other)


def _read_at(of: ContainerStats) -> tuple[float, int]:
    """Return when its counter was read, in seconds since the epoch, and the counter; 0 without."""
    if of.cpu is None or of.cpu.usage_core_nano_seconds == 0:
        return 0.0, 0
    return epoch_seconds(of.cpu.time) or 0.0, of.cpu.usage_core_nano_seconds or 0
