"""The parts of the running server, as health checks, self-metrics and the status page see them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from metricsapi.kube.informer import Informer
from metricsapi.kube.resources import Node, Pod
from metricsapi.scrape.instrumented import MeasuredScraper
from metricsapi.scrape.node_status import Rows, counted
from metricsapi.scrape.scraper import ScraperPool
from metricsapi.server.operator.slices import gather
from metricsapi.storage.stat import Readings
from metricsapi.storage.store import MetricsStore
from metricsapi.telemetry.node_status import NodeStatus, States
from metricsapi.telemetry.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Reads the parts when it is asked; none of its methods blocks, and no part knows of it."""

    nodes: Informer[Node]
    pods: Informer[Pod]
    scraper: ScraperPool
    measured: MeasuredScraper
    statuses: Rows
    store: MetricsStore
    caches: Callable[[], Mapping[str, tuple[int, int]]]  # hits and misses of the review caches
    leaving: asyncio.Event  # set when the process is asked to end
    tasks: Collection[asyncio.Task[None]] = ()  # that must not end: informers, scraper

    def rows(self) -> Iterator[NodeStatus]:
        """Give a row per node, each made when it is asked for."""
        now = time.monotonic()
        return self.statuses.of(self.scraper.states.values(), now, time.time() - now)

    def states(self) -> States:
        """Count nodes by state and cause, which costs far less than their rows."""
        return counted(self.scraper.states.values())

    def last_scrape_age(self) -> float | None:
        """Give the seconds since a scrape was last started; None without nodes."""
        newest = self.scraper.newest_scrape
        return None if newest is None else time.monotonic() - newest

    def readings(self) -> Iterator[Readings]:
        """Give the last readings of every node and container that are current."""
        return self.store.readings(time.monotonic())

    def containers(self) -> int:
        """Give the number of containers in the nodes' last answers."""
        return self.store.points()[1]

    def oldest_usage_age(self) -> float | None:
        """Give the seconds since the oldest usage of a node that is served; None without any."""
        oldest = self.store.oldest(time.monotonic())
        return None if oldest is None else max(0.0, time.time() - oldest)

    def end_cycle(self) -> None:
        """Note that a scrape cycle is over."""
        self.measured.tick()

    async def snapshot(self) -> Snapshot:
        """Give what self-metrics show of all parts."""
        rows = await gather(self.rows())
        nodes, containers = self.store.points()
        return Snapshot(
            nodes=rows,
            stored_nodes=nodes,
            stored_containers=containers,
            watch_restarts={each.resource.name: each.restarts for each in (self.nodes, self.pods)},
            scrapes_skipped=self.scraper.skipped,
            caches=self.caches(),
        )
