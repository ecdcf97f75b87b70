"""What `/statusz` shows, whatever the format: the state of the server at one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from metricsapi.server.task import TaskHealth
from metricsapi.telemetry.node_status import (
    FAILING,
    OK,
    PENDING,
    STATES,
    TROUBLED,
    UNUSABLE,
    NodeStatus,
)
from metricsapi.telemetry.replicas import ReplicaStatus

NAME = "metrics-server"
WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility "
    "guarantees and is for debugging purposes only."
)
_ORDER = {FAILING: 0, UNUSABLE: 1, PENDING: 2, OK: 3}


@dataclass(frozen=True, kw_only=True)
class About:
    """The part of the status that does not change while the process runs."""

    version: str
    cluster: str  # its name: a kubeconfig's context, or the API server's URL
    started: float  # seconds since the epoch
    resolution: float  # seconds
    paths: Sequence[str]  # that are served


@dataclass(frozen=True, kw_only=True)
class Status:
    """The state of the server at `now` (seconds since the epoch)."""

    about: About
    now: float
    nodes: Sequence[NodeStatus]  # failing ones first, then by name
    unready: Mapping[str, str]  # failing readiness checks, and why
    remarks: Sequence[str]
    tasks: Sequence[TaskHealth] = ()
    replica: ReplicaStatus | None = None  # None without --leader-elect

    @property
    def counts(self) -> dict[str, int]:
        """The number of nodes in each state; that of UNUSABLE if there are any."""
        counts = Counter(row.state for row in self.nodes)
        return {state: counts[state] for state in STATES if counts[state] or state != UNUSABLE}

    @property
    def causes(self) -> list[tuple[str, list[NodeStatus]]]:
        """Nodes in trouble by cause, the most frequent one first."""
        by_cause: dict[str, list[NodeStatus]] = {}
        for row in self.nodes:
            if row.state in TROUBLED:
                by_cause.setdefault(row.cause, []).append(row)
        return sorted(by_cause.items(), key=lambda item: (-len(item[1]), item[0]))

    @property
    def task_problems(self) -> list[str]:
        """What is wrong with long-running tasks, in words."""
        return [problem for task in self.tasks if (problem := task.problem)]

    @property
    def up_seconds(self) -> int:
        """For how long the process has run."""
        return max(0, int(self.now - self.about.started))

    @property
    def up(self) -> str:
        """How long the process has run, as Kubernetes' /statusz writes it."""
        seconds = self.up_seconds
        return f"{seconds // 3600} hr {seconds % 3600 // 60:02} min {seconds % 60:02} sec"


def in_order(rows: Iterable[NodeStatus]) -> list[NodeStatus]:
    """Sort rows as they are shown."""
    return sorted(rows, key=lambda row: (_ORDER.get(row.state, 0), row.name))


def iso(when: float | None) -> str | None:
    """RFC 3339 in whole seconds, UTC; `when` is in seconds since the epoch."""
    if when is None:
        return None
    return datetime.fromtimestamp(int(when), UTC).isoformat().replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """Return seconds as the largest unit of which there are two; statusz.js has the same rule."""
    seconds = max(0, int(seconds))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
