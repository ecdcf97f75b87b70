"""The routes and tasks by which operators observe the running server.

Health checks, self-metrics and the status page read the parts at each request; three tasks
measure the event loop, log a summary each minute, and follow readiness.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from fastapi.routing import APIRoute
from prometheus_client.core import Metric
from starlette.routing import BaseRoute

from metricsapi import __version__
from metricsapi.config.read import flag_texts
from metricsapi.config.settings import Settings
from metricsapi.kube.progress import Progress
from metricsapi.kube.slices import gather
from metricsapi.server.operator.flagz import flagz_routes
from metricsapi.server.operator.health import Liveness, health_routes
from metricsapi.server.operator.metrics import metrics_routes
from metricsapi.server.operator.parts import Parts
from metricsapi.server.operator.readiness import Readiness
from metricsapi.server.operator.resource_metrics import resource_metrics_routes
from metricsapi.server.operator.status import About, Status, in_order
from metricsapi.server.operator.statusz import statusz_routes
from metricsapi.server.operator.summary import (
    SUMMARY_INTERVAL,
    Totals,
    log_summaries,
    pointing,
    remarks,
)
from metricsapi.server.operator.watchdog import EventLoopMonitor, Watchdog
from metricsapi.server.task import Task
from metricsapi.telemetry import logs
from metricsapi.telemetry.metrics import Telemetry

_LEAST_SCRAPE_DELAY = 30.0  # seconds without a scrape that are allowed, however short the cycle


class Operations:
    """Routes to serve, and tasks to run beside them."""

    def __init__(
        self, settings: Settings, telemetry: Telemetry, parts: Parts, *, cluster: str
    ) -> None:
        """Take the cluster's name for `/statusz`."""
        self._cluster = cluster
        self._settings = settings
        self._telemetry = telemetry
        self._parts = parts
        self._started = time.time()
        self._began = time.monotonic()
        self._loop = EventLoopMonitor(telemetry.loop_lag, time.monotonic)
        self._minute = Watchdog("the minute's summary", SUMMARY_INTERVAL, time.monotonic)
        self._totals = Totals(telemetry.totals)
        self._readiness = Readiness(parts, time.monotonic)
        self.routes: list[BaseRoute] = self._routes()

    def tasks(self) -> list[Task]:
        """Return what must run beside the server, until the process ends."""
        return [
            Task("event-loop-monitor", self._loop.run),
            Task("summary", self._summarize),
            Task("readiness", partial(self._readiness.follow, self._telemetry.ready)),
        ]

    def is_ready(self) -> bool:
        """Return whether this replica is ready: behind the Service, or about to be."""
        return not self._readiness.problems()

    async def _summarize(self, progress: Progress) -> None:
        states = self._parts.states
        await log_summaries(self._minute, states, self._numbers, progress=progress)

    def _routes(self) -> list[BaseRoute]:
        parts = self._parts
        liveness = Liveness(
            log=logs.problem,
            loop=self._loop.watchdog.problem,
            summary=self._minute.problem,
            scraping=self._scraping_problem,
            watches=parts.watch_problem,
        )
        routes = [
            *health_routes(liveness, self._readiness.checks, self._remarks),
            *metrics_routes(self._families, started=self._started),
            *statusz_routes(self._status),
            *flagz_routes(flag_texts(self._settings)),
        ]
        if self._settings.api.resource_metrics:
            routes += resource_metrics_routes(parts.readings, parts.rows)
        return routes

    async def _families(self) -> Iterator[Metric]:
        return self._telemetry.families(await self._parts.snapshot())

    async def _status(self) -> Status:
        settings = self._settings
        now = time.time()
        about = About(
            version=__version__,
            cluster=self._cluster,
            # As ages of nodes are: by the clock as it is now, which may have been set since.
            started=now - (time.monotonic() - self._began),
            resolution=settings.kubelet.resolution,
            paths=sorted({route.path for route in self.routes if isinstance(route, APIRoute)}),
        )
        nodes = in_order(await gather(self._parts.rows()))
        return Status(
            about=about,
            now=now,
            nodes=nodes,
            unready=self._readiness.problems(),
            remarks=remarks(self._parts.states()),
            tasks=self._parts.tasks(),
            replica=self._parts.replica(),
        )

    def _remarks(self) -> list[str]:
        """Return what a ready server must not hide: missing usage, and tasks that fail."""
        problems = [problem for task in self._parts.tasks() if (problem := task.problem)]
        return [*pointing(remarks(self._parts.states())), *problems]

    def _numbers(self) -> dict[str, object]:
        """Return what the summary says beside the nodes' states: of now, and of its minute."""
        oldest = self._parts.oldest_usage_age()
        return {
            "containers": self._parts.containers(),
            "oldest_usage_seconds": None if oldest is None else round(oldest, 1),
            **self._totals.growth(),
            "loop_lag_seconds": round(self._loop.take_longest(), 3),
            "failing_tasks": [task.name for task in self._parts.tasks() if task.problem],
        }

    def _scraping_problem(self) -> str | None:
        age = self._parts.last_scrape_age()
        allowed = max(2 * self._settings.kubelet.resolution, _LEAST_SCRAPE_DELAY)
        if age is None or age <= allowed:
            return None
        return f"no scrape of a kubelet was started for {age:.0f} s"
