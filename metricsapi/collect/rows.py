"""What the scraper pool knows of each node, as rows for the status page and self-metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from metricsapi.collect.pool import NodeState
from metricsapi.nodestatus import FAILING, OK, PENDING, NodeStatus
from metricsapi.samples import NodeUsage


class Usages(Protocol):
    """Where usage comes from: `MetricsStore`."""

    def node_usage(self, node: str, now: float) -> NodeUsage | None: ...


def node_rows(
    states: Iterable[NodeState],
    store: Usages,
    sizes: Mapping[str, tuple[int, int]],
    now: float,
    wall_offset: float,
) -> list[NodeStatus]:
    """Give one row per node; `now` is monotonic, `wall_offset` makes epoch seconds of it.

    `sizes` are the pods and containers in each node's last good answer.
    """
    return [_row(state, store, sizes, now, wall_offset) for state in states]


def tried(state: NodeState) -> bool:
    """Whether the first read of the node has ended, well or not."""
    return state.failure is not None or state.last_good is not None


def _row(
    state: NodeState,
    store: Usages,
    sizes: Mapping[str, tuple[int, int]],
    now: float,
    wall_offset: float,
) -> NodeStatus:
    name = state.target.node
    failure = state.failure
    usage = store.node_usage(name, now)
    pods, containers = sizes.get(name, (None, None))
    host = state.target.hosts[0] if state.target.hosts else ""
    return NodeStatus(
        name=name,
        state=FAILING if failure else OK if tried(state) else PENDING,
        cause=str(failure.cause) if failure else "",
        message=failure.message if failure else "",
        address=f"[{host}]:{state.target.port}" if ":" in host else f"{host}:{state.target.port}",
        since=_wall(state.changed_at, wall_offset),
        last_attempt=_wall(state.last_turn, wall_offset),
        last_good=_wall(state.last_good, wall_offset),
        duration=state.duration,
        sample_age=max(0.0, now + wall_offset - usage.timestamp) if usage else None,
        pods=pods,
        containers=containers,
        cpu=usage.cpu if usage else None,
        memory=usage.memory if usage else None,
    )


def _wall(at: float | None, wall_offset: float) -> float | None:
    return None if at is None else at + wall_offset
