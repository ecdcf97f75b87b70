"""What is current: a small ring of readings per node, and the usage that follows from them.

kubelet → samples → **store** → catalog. Nothing but the last two distinct readings of each stat is
remembered; a node that is gone from the API server is forgotten at once.
"""

from __future__ import annotations

from msgspec import Struct

from metricsapi.samples import (
    ContainerSample,
    ContainerUsage,
    NodeSample,
    NodeUsage,
    PodSample,
    PodUsage,
)

KUBELET_WINDOW = 10.0  # seconds: the kubelet's own interval, told with its own rate


class _Stat(Struct, gc=False):
    """The last two distinct readings of one container or node, and their common rate."""

    last: ContainerSample
    cpu: int  # nanocores
    window: float  # seconds, never 0


class _Pod(Struct):
    uid: str
    stats: dict[str, _Stat]
    usage: PodUsage | None


class _Ring(Struct):
    """All that is remembered of one node."""

    fresh_at: float  # monotonic seconds of the last answer
    stat: _Stat | None
    usage: NodeUsage | None
    pods: dict[tuple[str, str], _Pod]


class MetricsStore:
    """Current usage by node and by pod; `max_age` in seconds since a node's last good answer."""

    def __init__(self, *, max_age: float) -> None:
        self.max_age = max_age
        self._rings: dict[str, _Ring] = {}
        self._node_of: dict[tuple[str, str], str] = {}

    def put(self, sample: NodeSample) -> None:
        """Take one answer of one kubelet."""
        ring = self._rings.setdefault(sample.node, _Ring(sample.answered_at, None, None, {}))
        ring.fresh_at = sample.answered_at
        if sample.stats is not None:
            ring.stat = _next(ring.stat, sample.stats)
            ring.usage = _node_usage(sample.node, ring.stat)
        listed: dict[tuple[str, str], _Pod] = {}
        for pod in sample.pods:
            key = (pod.namespace, pod.name)
            listed[key] = _next_pod(sample.node, ring.pods.get(key), pod)
            self._node_of[key] = sample.node
        for key in ring.pods.keys() - listed.keys():
            if self._node_of.get(key) == sample.node:
                del self._node_of[key]
        ring.pods = listed

    def forget(self, node: str) -> None:
        """Drop all that is remembered of a node that is gone."""
        ring = self._rings.pop(node, None)
        for key in ring.pods if ring else ():
            if self._node_of.get(key) == node:
                del self._node_of[key]

    def node_usage(self, node: str, now: float) -> NodeUsage | None:
        """Give a node's usage at the monotonic time `now`, or None when there is none current."""
        ring = self._current(node, now)
        return ring.usage if ring else None

    def pod_usage(self, namespace: str, name: str, now: float) -> PodUsage | None:
        """Give a pod's usage at the monotonic time `now`, or None when there is none current."""
        key = (namespace, name)
        ring = self._current(self._node_of.get(key, ""), now)
        pod = ring.pods.get(key) if ring else None
        return pod.usage if pod else None

    def _current(self, node: str, now: float) -> _Ring | None:
        ring = self._rings.get(node)
        return ring if ring and now - ring.fresh_at <= self.max_age else None


def _next_pod(node: str, old: _Pod | None, sample: PodSample) -> _Pod:
    known = old.stats if old and old.uid == sample.uid else {}
    stats: dict[str, _Stat] = {}
    for container in sample.containers:
        stat = _next(known.get(container.name), container)
        if stat is None:
            return _Pod(sample.uid, stats, None)
        stats[container.name] = stat
    return _Pod(sample.uid, stats, _pod_usage(node, sample, stats))


def _next(old: _Stat | None, new: ContainerSample) -> _Stat | None:
    if new.cpu_time is None or new.cpu_counter is None or new.memory is None:
        return None
    if old is None or old.last.start != new.start:
        return _first(new)
    last = old.last
    assert last.cpu_time is not None  # noqa: S101 - only complete readings are kept
    assert last.cpu_counter is not None  # noqa: S101
    if (last.cpu_time, last.cpu_counter) == (new.cpu_time, new.cpu_counter):
        return old
    window = new.cpu_time - last.cpu_time
    if window <= 0 or new.cpu_counter < last.cpu_counter:
        return _first(new)
    return _Stat(new, round((new.cpu_counter - last.cpu_counter) / window), window)


def _first(new: ContainerSample) -> _Stat | None:
    return None if new.cpu_rate is None else _Stat(new, new.cpu_rate, KUBELET_WINDOW)


def _node_usage(name: str, stat: _Stat | None) -> NodeUsage | None:
    if stat is None or stat.last.cpu_time is None or stat.last.memory is None:
        return None
    return NodeUsage(name, stat.last.cpu_time, stat.window, stat.cpu, stat.last.memory)


def _pod_usage(node: str, pod: PodSample, stats: dict[str, _Stat]) -> PodUsage | None:
    if not stats:
        return None
    earliest = min(stats.values(), key=lambda stat: stat.last.cpu_time or 0.0)
    containers = tuple(
        ContainerUsage(name, stat.cpu, stat.last.memory or 0) for name, stat in stats.items()
    )
    return PodUsage(
        pod.namespace,
        pod.name,
        node,
        earliest.last.cpu_time or 0.0,
        earliest.window,
        containers,
    )
