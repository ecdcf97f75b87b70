"""What is current: the last readings per node, and the usage that follows from them.

kubelet → samples → **store** → catalog. Of each stat nothing is remembered but its last reading and
the rate that led to it from the one before (`rates`); of each node a few numbers on its clock
(`nodeclock`). Nothing is written to disk; a node that is gone from the API server is forgotten.

A failed scrape puts nothing, so the last usage stays, with its own timestamp, until `max_age` has
gone by since its last new reading. So does the usage of a container that is listed without any.
A pod is served whole or not at all, and one whose names no API server would take not at all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from metricsapi.storage.clock import Placement
from metricsapi.storage.node import Node, has_swap, read_when
from metricsapi.storage.pod import (
    Key,
    Pod,
    advance_containers,
    make_usage,
    newest,
    started,
    well_named,
)
from metricsapi.storage.rates import CLOSEST, Stat
from metricsapi.storage.types import (
    ContainerSample,
    NodeHolding,
    NodeSample,
    NodeUsage,
    PodRef,
    PodUsage,
    Reading,
    epoch_seconds,
    read_stats,
)


class MetricsStore:
    """Current usage by node and by pod.

    `max_age` is in seconds since the last new reading of a stat; `now` arguments are our monotonic
    clock, as are the times of samples. Without `swap` no swap is told of. The usage objects given
    are the same objects until a new reading changes them.
    """

    def __init__(self, *, max_age: float, swap: bool = True) -> None:
        self.max_age = max_age
        self._swap = swap
        self._nodes: dict[str, Node] = {}
        self._pods: dict[Key, Pod] = {}

    def put(self, sample: NodeSample) -> None:
        """Take one answer of one kubelet."""
        node = self._nodes.get(sample.node)
        if node is None:
            node = self._nodes[sample.node] = Node(sample.node)
        step = max(sample.time_step, node.step)
        node.step = sample.time_step
        node.turn += 1
        node.last_good = sample.answered_at
        node.wall_offset = sample.wall_offset
        stats = read_stats(sample.stats) if sample.stats is not None else None
        if stats is not None:
            node.has_swap = self._swap and has_swap(stats)
        told = node.columns.gather(sample.pods, has_swap=node.has_swap)
        placed = node.place(sample, told.said | read_when(told.left), step)
        if stats is not None:
            node.put(stats, placed)
        if placed.steady() and placed.came - placed.before >= CLOSEST:
            left = node.columns.take(told, sample, placed)
        else:
            node.columns.release_all()
            left = sample.pods
        for pod in left:
            if well_named(pod):
                read = [read_stats(one) for one in pod.containers or ()]
                self._put_pod(node, pod.pod_ref, read, placed)
        if left or node.left or len(node.pods) != len(sample.pods):
            node.left = bool(left)
            node.containers = sum([len(pod.containers or ()) for pod in sample.pods])
            here = node.turn
            self._drop(node, [p for p in node.pods.values() if p.first < 0 and p.turn != here])

    def forget(self, node: str) -> None:
        """Drop all that is remembered of a node that is gone."""
        if gone := self._nodes.pop(node, None):
            self._drop(gone, list(gone.pods.values()))

    def node_usage(self, node: str, now: float) -> NodeUsage | None:
        """Give a node's usage at the monotonic time `now`, or None when there is none current."""
        kept = self._nodes.get(node)
        stat = kept.stat if kept else None
        if kept is None or stat is None or not self._served(stat, now):
            return None
        if kept.usage is None:
            kept.usage = NodeUsage(
                kept.name,
                stat.timestamp,
                stat.window,
                round(stat.cpu),
                stat.memory,
                stat.swap if kept.has_swap else None,
                stat.ephemeral_storage,
            )
        return kept.usage

    def oldest(self, now: float) -> float | None:
        """Give the earliest timestamp of the nodes' usage at `now`, or None without any."""
        stats = [node.stat for node in self._nodes.values() if node.stat is not None]
        return min([one.timestamp for one in stats if self._served(one, now)], default=None)

    def pod_usage(self, namespace: str, name: str, now: float) -> PodUsage | None:
        """Give a pod's usage at the monotonic time `now`, or None when it is not wholly current."""
        pod = self._pods.get((namespace, name))
        usage = self.made(pod) if pod else None
        return usage if pod and now - pod.since <= self.max_age else None

    def held(self, namespace: str, name: str) -> Pod | None:
        """Give what is kept of a pod: it may be looked at again and again while it is `shown`."""
        return self._pods.get((namespace, name))

    def made(self, pod: Pod) -> PodUsage | None:
        """Give the usage of what is kept of a pod, however old, or None when it is not whole."""
        if pod.usage is not None:
            return pod.usage
        node = self._nodes[pod.node]
        if pod.first >= 0:
            return node.columns.usage(pod, has_swap=node.has_swap)
        return make_usage(pod, has_swap=node.has_swap)

    def holding(self, node: str) -> NodeHolding | None:
        """Tell what is kept of a node, or None when it never answered."""
        kept = self._nodes.get(node)
        if kept is None:
            return None
        offset = kept.clock.offset
        return NodeHolding(
            kept.last_good,
            kept.last_good + kept.wall_offset,
            len(kept.pods),
            kept.containers,
            None if offset is None else offset - kept.wall_offset,
        )

    def points(self) -> tuple[int, int]:
        """Give how many nodes have answered, and the containers in their last answers."""
        return len(self._nodes), sum([node.containers for node in self._nodes.values()])

    def readings(self, now: float) -> Iterator[Reading]:
        """Give the last reading of every node and container that is current at `now`."""
        for node in list(self._nodes.values()):
            if node.stat is not None and self._current(node.stat, now):
                yield _reading(node.name, ("", ""), node.stat, has_swap=node.has_swap)
            for pod in list(node.pods.values()):
                # All at once: whoever takes these may pause between two of them.
                for stat in tuple(node.stats(pod)) if pod.shown else ():
                    if self._current(stat, now):
                        yield _reading(node.name, pod.key, stat, has_swap=node.has_swap)

    def _served(self, stat: Stat, now: float) -> bool:
        return stat.known and now - min(stat.cpu_since, stat.memory_since) <= self.max_age

    def _current(self, stat: Stat, now: float) -> bool:
        since = min(stat.came, stat.memory_since)
        return stat.counter >= 0 and stat.memory >= 0 and now - since <= self.max_age

    def _put_pod(
        self, node: Node, ref: PodRef, samples: list[ContainerSample], placed: Placement
    ) -> None:
        key = (ref.namespace, ref.name)
        pod = node.pods.get(key)
        if pod is not None and pod.first >= 0:  # which means that it is listed, too
            node.columns.release([pod])
            pod.turn = node.turn
        if pod is None or (pod.uid != ref.uid and pod.uid and ref.uid):
            if pod is not None and pod.turn == node.turn and newest(samples) < started(pod.stats):
                return  # the same name twice in one answer: the one that started last is current
            interned = (sys.intern(ref.namespace), ref.name)
            pod = node.pods[interned] = Pod(interned, node.name, ref.uid)
        pod.turn = node.turn
        if advance_containers(pod, samples, placed):
            pod.usage = None
        owner = self._pods.get(key)
        if owner is not pod and (
            owner is None
            or owner.node == node.name
            or started(pod.stats) >= started(self._nodes[owner.node].stats(owner))
        ):
            if owner is not None:
                owner.shown = False
                self._nodes[owner.node].columns.release([owner])
            pod.shown = True
            self._pods[pod.key] = pod
        node.columns.admit(pod, placed)

    def _drop(self, node: Node, pods: list[Pod]) -> None:
        for pod in pods:
            node.pods.pop(pod.key, None)
            if pod.shown:
                pod.shown = False
                del self._pods[pod.key]


def _reading(node: str, key: Key, stat: Stat, *, has_swap: bool) -> Reading:
    return Reading(
        node,
        *key,
        stat.name,
        epoch_seconds(stat.start),
        stat.exact,
        stat.counter,
        stat.memory_time,
        stat.memory,
        stat.swap if has_swap else None,
    )
