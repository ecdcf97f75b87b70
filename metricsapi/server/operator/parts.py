"""The parts of the running server, as health checks, self-metrics and the status page see them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from metricsapi.kube.informer import Informer
from metricsapi.kube.resources import Node, Pod
from metricsapi.kube.slices import gather
from metricsapi.scrape.node_status import Rows, counted, untried
from metricsapi.scrape.scraper import ScraperPool
from metricsapi.server.supervisor import Supervisor
from metricsapi.server.task import TaskHealth
from metricsapi.storage.readings import Readings
from metricsapi.storage.store import MetricsStore
from metricsapi.telemetry.node_status import NodeStatus, States
from metricsapi.telemetry.replicas import ReplicaStatus
from metricsapi.telemetry.snapshot import Snapshot

# Seconds. A watch ends after 11 minutes at the latest, and whatever fails is tried again: only one
# that hangs, in spite of every timeout, makes no progress for so long.
STUCK_WATCH = 900.0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Reads the state of the parts; no method blocks, and no part depends on this."""

    nodes: Informer[Node]
    pods: Informer[Pod]
    scraper: ScraperPool
    statuses: Rows
    store: MetricsStore
    caches: Callable[[], Mapping[str, tuple[int, int]]]  # hits and misses of the review caches
    leaving: asyncio.Event  # set when the process is asked to end
    supervisor: Supervisor
    replica: Callable[[], ReplicaStatus | None] = lambda: None  # None without --leader-elect

    def rows(self) -> Iterator[NodeStatus]:
        """Return a row per node, each made when it is iterated over."""
        now = time.monotonic()
        return self.statuses.of(self.scraper.states.values(), now, time.time() - now)

    def states(self) -> States:
        """Count nodes by state and cause, which costs far less than their rows."""
        return counted(self.scraper.states.values())

    def untried(self, patience: float) -> int:
        """Count nodes that were not tried yet, and whose first scrape is younger than that (s)."""
        return untried(self.scraper.states.values(), time.monotonic() - patience)

    def last_scrape_age(self) -> float | None:
        """Return the seconds since a scrape was last started; None without nodes."""
        newest = self.scraper.newest_scrape
        return None if newest is None else time.monotonic() - newest

    def watch_problem(self) -> str | None:
        """Return which watch is stuck, without progress or restart; None while none is."""
        for informer in (self.nodes, self.pods):
            age = time.monotonic() - informer.last_progress
            if age > STUCK_WATCH:
                return f"the watch of {informer.resource.name} has made no progress for {age:.0f} s"
        return None

    def tasks(self) -> list[TaskHealth]:
        """Return the health of every long-running task."""
        return self.supervisor.health()

    def readings(self) -> Iterator[Readings]:
        """Return the last readings of every node and container that are current."""
        return self.store.readings(time.monotonic())

    def containers(self) -> int:
        """Return the number of containers in the nodes' last responses."""
        return self.store.points()[1]

    def oldest_usage_age(self) -> float | None:
        """Return the seconds since the oldest usage of a node that is served; None without any."""
        oldest = self.store.oldest(time.monotonic())
        return None if oldest is None else max(0.0, time.time() - oldest)

    async def snapshot(self) -> Snapshot:
        """Return what self-metrics show of all parts."""
        rows = await gather(self.rows())
        nodes, containers = self.store.points()
        return Snapshot(
            nodes=rows,
            stored_nodes=nodes,
            stored_containers=containers,
            watch_restarts={each.resource.name: each.restarts for each in (self.nodes, self.pods)},
            scrapes=self.scraper.scrapes,
            scrapes_skipped=self.scraper.skipped,
            caches=self.caches(),
            replica=self.replica(),
            task_failing={task.name: task.failing_seconds for task in self.supervisor.health()},
        )
