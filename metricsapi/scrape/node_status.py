"""The scraper pool's state of each node as rows for the status page and for self-metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from metricsapi.kube.addresses import host_port
from metricsapi.kube.informer import Informer
from metricsapi.kube.resources import Node
from metricsapi.scrape.kubelet import KubeletClient
from metricsapi.scrape.node_state import NodeState
from metricsapi.scrape.parts import Reason
from metricsapi.scrape.targets import Target
from metricsapi.storage.store import MetricsStore
from metricsapi.telemetry.node_status import FAILING, OK, PENDING, UNUSABLE, NodeStatus, States


@dataclass(frozen=True)
class Rows:
    """Makes one row per node from what the store, the client and the informer know."""

    store: MetricsStore
    kubelets: KubeletClient
    nodes: Informer[Node]
    expected: Callable[[str], str] = lambda _: ""  # the query for which a node is scraped next

    def of(
        self, states: Iterable[NodeState], now: float, wall_offset: float
    ) -> Iterator[NodeStatus]:
        """Return the rows at `now` (monotonic seconds), each made when it is iterated over.

        `wall_offset` is the wall clock minus the monotonic clock, in seconds.
        """
        return (self._row(state, now, wall_offset) for state in list(states))

    def _row(self, state: NodeState, now: float, wall_offset: float) -> NodeStatus:
        target, problem = state.target, state.failure or state.unusable
        name = target.node
        usage = self.store.node_usage(name, now)
        info = self.store.node_info(name)
        node = self.nodes.objects.get(name)
        word, cause = _state_and_cause(state)
        return NodeStatus(
            name=name,
            state=word,
            cause=cause,
            message=problem.message if problem else "",
            address=self.kubelets.address(name) or _first(target),
            endpoint=self.kubelets.endpoint(target),
            endpoint_reason=self.kubelets.endpoint_reason(target),
            since=_wall(state.changed_at, wall_offset),
            last_attempt=_wall(state.last_scrape, wall_offset),
            last_good=_wall(state.last_success, wall_offset),
            duration=state.duration,
            next_scrape=_wall(state.next_scrape, wall_offset),
            next_reason=state.reason,
            expected_query=self.expected(name) if state.reason is Reason.PREFETCH else "",
            served_until=_wall(self.store.served_until(name), wall_offset) if usage else None,
            sample_age=max(0.0, now + wall_offset - usage.timestamp) if usage else None,
            pods=info.pods if info else None,
            containers=info.containers if info else None,
            cpu=usage.cpu if usage else None,
            memory=usage.memory if usage else None,
            cpu_allocatable=node.cpu if node else None,
            memory_allocatable=node.memory if node else None,
        )


def counted(states: Iterable[NodeState]) -> States:
    """Count nodes by state and cause; far cheaper than to make their rows."""
    return Counter(map(_state_and_cause, states))


def untried(states: Iterable[NodeState], started_before: float) -> int:
    """Count nodes of which no scrape has ended, and the first did not start before that time.

    The time is in monotonic seconds. A kubelet that hangs is not waited for.
    """
    return sum(
        not state.tried and (state.first_start is None or state.first_start > started_before)
        for state in states
    )


def _state_and_cause(state: NodeState) -> tuple[str, str]:
    if state.failure is not None:
        return FAILING, str(state.failure.cause)
    if state.unusable is not None:
        return UNUSABLE, str(state.unusable.cause)
    return (OK if state.tried else PENDING), ""


def _first(target: Target) -> str:
    """Return the host:port that is tried first; empty without an address."""
    return host_port(target.hosts[0], target.port) if target.hosts else ""


def _wall(at: float | None, wall_offset: float) -> float | None:
    return None if at is None else at + wall_offset
