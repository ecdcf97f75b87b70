"""What is current: the last readings of each node and pod, and the usage that follows from them.

kubelet → scrape → **storage** → api. Of each stat nothing is remembered but its last reading, the
rate that led to it (`stat`, `rates`), and up to three readings before (`windows`); of each node a
few numbers on its clock (`clock`). Nothing is written to disk; a node that is gone from the API
server is forgotten.

A failed scrape puts nothing, so the last usage stays, with its own timestamp, until `max_age` has
gone by since its last new reading. So does the usage of a container that is listed without any.
A pod is served whole or not at all, and one whose names no API server would take not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial

from metricsapi.kube.shared import shared
from metricsapi.storage.backlog import Backlog
from metricsapi.storage.claims import Claims, Withheld
from metricsapi.storage.cluster import Cluster, UnknownCluster
from metricsapi.storage.limits import limits_of
from metricsapi.storage.node import Node
from metricsapi.storage.pod import LONGEST_UID, Key, Pod, each_once
from metricsapi.storage.readings import Readings
from metricsapi.storage.refused import RefusedPods
from metricsapi.storage.rules import Rules
from metricsapi.storage.stat import Stat
from metricsapi.storage.types import (
    EncodedPods,
    NodeInfo,
    NodeSample,
    NodeUsage,
    PodRef,
    PodStats,
    PodUsage,
    epoch_seconds,
)
from metricsapi.storage.windows import Windows

STEP = 96  # pods and their containers that are put without a pause


class MetricsStore:
    """Current usage by node and by pod.

    `max_age` is in seconds since the last new reading of a stat; `now` arguments are our monotonic
    clock, as are the times of samples. `period` is how often nodes are read if nothing asks for
    more, in seconds; see `windows`. Without `swap` no usage has any. The usage objects given are
    the same objects until a new reading changes them.
    """

    def __init__(
        self,
        *,
        max_age: float,
        period: float = 0.0,
        swap: bool = True,
        cluster: Cluster = UnknownCluster(),  # noqa: B008  it has no state
        withheld: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.max_age = max_age
        self._windows = Windows.of(period)
        self._swap = swap
        self._cluster = cluster
        self._refused = RefusedPods(withheld)
        self._nodes: dict[str, Node] = {}
        self._claims = Claims(cluster)
        self.late = False  # whether answers may wait for somebody to ask: see `backlog`

    def put(self, sample: NodeSample) -> None:
        """Take one answer of one kubelet."""
        for _ in self.put_in_steps(sample):
            pass

    def put_in_steps(self, sample: NodeSample) -> Generator[None, None, None]:
        """Take one answer, with a yield after some pods, so that a large one holds nobody up.

        In between each pod is of this answer or of the last one, and never of both.
        """
        node = self._nodes.get(sample.node)
        if node is None:
            late = partial(self._put_late, sample.node)
            node = self._nodes[sample.node] = Node(sample.node, Backlog(late))
        waits = node.backlog.takes(sample)
        if not waits:
            node.backlog.put()
        capacity = self._cluster.capacity(sample.node)
        rules = node.put(sample, limits_of(capacity, sample.stats, swap=self._swap), self._windows)
        for _ in range(sample.nameless):
            self._refused.refuse(sample.node, None)
        if waits and isinstance(sample.pods, EncodedPods):
            self.late = True
            node.backlog.add(sample.pods, rules)
            for pod in node.pods.values():
                pod.usage = None
        else:
            yield from self._put_pods(node, list(sample.pods), rules)

    def _put_pods(
        self, node: Node, answer: Sequence[PodStats], rules: Rules
    ) -> Generator[None, None, None]:
        """Take the pods of an answer, with a yield after each `STEP`."""
        pods: dict[PodRef, Pod] = {}
        taken = 0  # in this step
        for listed in each_once(answer):
            if taken >= STEP:
                taken = 0
                yield
            taken += 1 + len(listed.containers or ())
            ref = listed.pod_ref
            pod = node.pods.get(ref) or self._claim(node, ref)
            if pod.put(listed.containers or (), rules):
                pods[pod.ref] = pod  # the same object as before: the answer's own is not kept
            else:
                self._refused.refuse(node.name, ref)
        if self._nodes.get(node.name) is not node:
            return  # it was forgotten in between
        if pods.keys() != node.pods.keys():
            before, node.pods = node.pods, pods
            self._claims.change(before.values(), pods.values())
        node.containers = sum([len(pod.stats) for pod in pods.values()])
        self._withhold(node, rules.timing.received)

    def _put_late(self, name: str, pods: Sequence[PodStats], rules: Rules) -> None:
        """Take the pods of an answer of which the rest is stored already."""
        if (node := self._nodes.get(name)) is not None:
            for _ in self._put_pods(node, pods, rules):
                pass

    def forget(self, node: str) -> None:
        """Drop all that is remembered of a node that is gone."""
        if gone := self._nodes.pop(node, None):
            self._claims.change(gone.pods.values(), ())
            self._refused.forget(node)

    def node_usage(self, node: str, now: float) -> NodeUsage | None:
        """Return a node's usage at the monotonic time `now`, or None when there is none current."""
        kept, until = self._nodes.get(node), self.served_until(node)
        if kept is None or until is None or now > until:
            return None
        return kept.usage or kept.make_usage()

    def served_until(self, node: str) -> float | None:
        """Return until when a node's usage is served, in monotonic seconds."""
        kept = self._nodes.get(node)
        stat = kept.stat if kept is not None else None
        if stat is None or stat.cpu.rated is None or stat.working_set_at is None:
            return None
        return min(stat.cpu.rated.at.received, stat.working_set_at.received) + self.max_age

    def oldest(self, now: float) -> float | None:
        """Return the earliest timestamp of the nodes' usage at `now`, or None without any."""
        usages = [self.node_usage(name, now) for name in self._nodes]
        return min([usage.timestamp for usage in usages if usage is not None], default=None)

    def pod(self, namespace: str, name: str) -> Pod | None:
        """Return what is kept of a pod: it may be looked at again and again while it is `shown`."""
        return self._claims.shown((namespace, name))

    def pod_usage(self, namespace: str, name: str, now: float) -> PodUsage | None:
        """Return a pod's usage at the monotonic time `now`, or None if it is not wholly current."""
        pod = self.pod(namespace, name)
        usage = (pod.usage or pod.make_usage()) if pod is not None else None
        return usage if pod is not None and now - pod.since <= self.max_age else None

    def node_info(self, node: str) -> NodeInfo | None:
        """Return what is known of a node, or None when it never answered."""
        kept = self._nodes.get(node)
        return kept.info() if kept is not None else None

    def read_at_request(self, node: str) -> bool:
        """Return whether a node is known to have stats that its kubelet reads when it is asked."""
        kept = self._nodes.get(node)
        return kept is not None and kept.clock.reads_at_request

    def points(self) -> tuple[int, int]:
        """Count the nodes that have answered, and the containers in their last answers."""
        return len(self._nodes), sum([node.containers for node in self._nodes.values()])

    def readings(self, now: float) -> Iterator[Readings]:
        """Yield the last readings of every node and container that are current at `now`.

        Whoever takes these may pause between two of them; those of one pod are of one answer.
        """
        for node in list(self._nodes.values()):
            if node.stat is not None:
                yield from self._readings(node.name, ("", ""), node.stat, now)
            node.backlog.asked()
            for pod in node.pods.values():
                for stat in pod.sorted_stats() if pod.shown else ():
                    yield from self._readings(node.name, pod.key, stat, now)

    def reconsider(self, namespace: str, name: str) -> None:
        """Note that the API server has another pod of this name than before, or has it no more."""
        self._claims.decide((namespace, name))

    def bind(self, namespace: str, name: str, uid: str, node: str) -> None:
        """Note that the API server has bound the pod of this name and uid to a node."""
        self._claims.bind((namespace, name), uid, node)

    def _withhold(self, node: Node, at: float) -> None:
        """Count the pods of an answer that are withheld, and have looked up what is undecided."""
        withheld = [pod for pod in node.pods.values() if pod.withheld]
        for pod in withheld:
            if pod.withheld == Withheld.UID and not pod.ref.uid:
                self._claims.decide(pod.key)
        self._refused.withhold(node.name, [pod for pod in withheld if pod.withheld], at)
        for pod in withheld:
            if pod.withheld == Withheld.UNDECIDED:
                self._cluster.look_up(*pod.key)

    def _readings(self, node: str, key: Key, stat: Stat, now: float) -> Iterator[Readings]:
        cpu, at = stat.cpu.reading, stat.working_set_at
        if cpu is None or at is None or now - min(cpu.at.received, at.received) > self.max_age:
            return
        start = epoch_seconds(stat.start)
        yield Readings(node, *key, stat.name, start, cpu, stat.working_set, at, stat.swap)

    def _claim(self, node: Node, ref: PodRef) -> Pod:
        """Return the pod that a node lists in other words than before, or a new one."""
        ref = PodRef(ref.name, shared(ref.namespace), ref.uid)
        key = ref.namespace, ref.name
        for pod in self._claims.get(key):
            same = not (pod.ref.uid and ref.uid) and len(ref.uid) <= LONGEST_UID
            if pod.node == node.name and same:
                pod.ref = ref  # `/metrics/resource` has none: it is the same pod
                self._claims.decide(key)
                return pod
        return Pod(ref, node.name, node.backlog)
