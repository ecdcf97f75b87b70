"""What an operator sees of the running server, put together from its parts.

Health checks, self-metrics, status pages, the minute's summary: each asks the parts when it is
asked itself, so the parts know nothing of them.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from prometheus_client import CollectorRegistry
from starlette.routing import BaseRoute

from metricsapi import __version__
from metricsapi.config.settings import Settings, flag_texts
from metricsapi.server.operator.flagz import flagz_route
from metricsapi.server.operator.health import Probes, health_routes, problems
from metricsapi.server.operator.metrics import metrics_route
from metricsapi.server.operator.resource_metrics import resource_metrics_route
from metricsapi.server.operator.statusz import StatusSource, statusz_route
from metricsapi.server.operator.watchdog import (
    LAG_INTERVAL,
    Beat,
    pointing,
    remarks,
    summarize,
    watch_loop,
)
from metricsapi.storage.types import Reading
from metricsapi.telemetry import logs
from metricsapi.telemetry.metrics import Telemetry
from metricsapi.telemetry.node_status import PENDING, NodeStatus, States, in_state

# A node that has not been tried so long after the nodes were listed no longer holds up
# readiness: a cluster whose kubelets all hang must not lose its APIService for minutes.
LONGEST_UNREADY = 60.0
ROWS = 64  # that are made between two turns of the loop


def _nothing() -> None:
    pass


async def _in_turns(rows: Iterable[NodeStatus]) -> list[NodeStatus]:
    """Take rows that are made when asked for: those of 5,000 nodes at once took 30 ms."""
    rows, taken = iter(rows), []
    while some := list(islice(rows, ROWS)):
        taken += some
        await asyncio.sleep(0)
    return taken


@dataclass(kw_only=True)
class Parts:
    """What is asked of the parts. Callables are called in the event loop and must not block."""

    settings: Settings
    nodes_synced: asyncio.Event
    pods_synced: asyncio.Event
    leaving: Callable[[], asyncio.Event]
    rows: Callable[[], Iterable[NodeStatus]]
    states: Callable[[], States]  # of the same nodes
    newest_turn: Callable[[], float | None]  # monotonic seconds when a read was last begun
    tasks: Collection[asyncio.Task[None]] = ()  # that must not end: informers, pool
    storage_points: Callable[[], tuple[int, int]] = lambda: (0, 0)  # nodes, containers
    oldest_usage: Callable[[], float | None] = lambda: None  # age of a node's, in seconds
    watch_restarts: Callable[[], Mapping[str, int]] = dict
    turns_skipped: Callable[[], int] = int
    caches: Callable[[], Mapping[str, tuple[int, int]]] = dict  # hits and misses of each
    tick: Callable[[], None] = _nothing  # called once per period
    readings: Callable[[], Iterable[Reading]] = tuple
    paths: Sequence[str] = ()  # that others serve, for /statusz


class Operations:
    """Routes to serve and tasks to run; `telemetry` is for whoever counts something."""

    def __init__(self, settings: Settings) -> None:
        self.telemetry = Telemetry(
            CollectorRegistry(), resolution=settings.metric_resolution, version=__version__
        )
        self._settings = settings
        self._loop = Beat("the event loop's timer", LAG_INTERVAL, time.monotonic)
        self._minute = Beat("the minute's task", 60.0, time.monotonic)
        self._started = time.time()
        self._synced_at: float | None = None
        self._all_tried = False
        self._was_ready = False

    def routes(self, parts: Parts) -> list[BaseRoute]:
        """Give every route of an operator. Also tells telemetry where to ask."""
        telemetry = self.telemetry
        telemetry.storage_points = parts.storage_points
        telemetry.watch_restarts = parts.watch_restarts
        telemetry.turns_skipped = parts.turns_skipped
        telemetry.caches = parts.caches
        probes = self._probes(parts)
        health = health_routes(probes)
        resource = []
        if self._settings.enable_resource_metrics:
            resource.append(resource_metrics_route(parts.readings, parts.rows))

        async def look() -> None:
            rows, points = await _in_turns(parts.rows()), parts.storage_points()
            telemetry.nodes, telemetry.storage_points = lambda: rows, lambda: points

        paths = {route.path for route in [*health, *resource]} | {"/metrics", "/statusz", "/flagz"}
        source = StatusSource(
            version=__version__,
            started=self._started,
            resolution=self._settings.metric_resolution,
            clock=time.time,
            nodes=parts.rows,
            unready=lambda: problems(probes.readiness),
            remarks=lambda: remarks(parts.states()),
            paths=sorted(paths | set(parts.paths)),
        )
        return [
            *health,
            *resource,
            metrics_route(telemetry.registry, started=self._started, prepare=look),
            statusz_route(source),
            flagz_route(flag_texts(self._settings)),
        ]

    async def run(self, parts: Parts) -> None:
        """Watch the loop, note periods, readiness and minutes, until cancelled."""
        probes = self._probes(parts)
        async with asyncio.TaskGroup() as group:
            group.create_task(watch_loop(self.telemetry, self._loop, time.monotonic))
            group.create_task(summarize(self._minute, parts.states, lambda: self._counts(parts)))
            group.create_task(self._follow_readiness(parts, probes))
            while True:
                await asyncio.sleep(self._settings.metric_resolution)
                parts.tick()

    async def _follow_readiness(self, parts: Parts, probes: Probes) -> None:
        while True:
            failing = problems(probes.readiness)
            self.telemetry.ready.set(not failing)
            if bool(failing) == self._was_ready:
                self._was_ready = not failing
                notes = pointing(remarks(parts.states()))
                data: dict[str, object] = {"remarks": notes} if not failing else {"why": failing}
                logs.LOG.info("ready" if not failing else "not ready", extra={"data": data})
                if not failing:
                    # The objects of a whole cluster are here to stay. To look at all of them, as
                    # the garbage collector does now and then, holds the loop.
                    gc.freeze()
            if self._was_ready:  # all that is needed for it stays, until we leave
                await parts.leaving().wait()
            else:
                await asyncio.sleep(0.25)

    def _counts(self, parts: Parts) -> dict[str, object]:
        requests = sum(
            sample.value
            for family in self.telemetry.requests.collect()
            for sample in family.samples
        )
        lag = self.telemetry.loop_lag.series[()]
        oldest = parts.oldest_usage()
        return {
            "containers": parts.storage_points()[1],
            "oldest_usage_seconds": None if oldest is None else round(oldest, 1),
            "requests": int(requests),
            "loop_lag_seconds": round(lag.total, 3),
        }

    def _probes(self, parts: Parts) -> Probes:
        def synced(event: asyncio.Event, what: str) -> Callable[[], str | None]:
            return lambda: None if event.is_set() else f"the list of {what} has not arrived"

        return Probes(
            log=logs.problem,
            loop=self._loop.problem,
            housekeeping=self._minute.problem,
            collection=lambda: self._collection_problem(parts),
            watches=lambda: _ended(parts.tasks),
            tried=lambda: self._tried_problem(parts),
            nodes_synced=synced(parts.nodes_synced, "nodes"),
            pods_synced=synced(parts.pods_synced, "pods"),
            shutdown=lambda: "shutting down" if parts.leaving().is_set() else None,
            remarks=lambda: pointing(remarks(parts.states())),
        )

    def _collection_problem(self, parts: Parts) -> str | None:
        newest = parts.newest_turn()
        if newest is None:
            return None
        age = time.monotonic() - newest
        allowed = max(2 * self._settings.metric_resolution, 30.0)
        return None if age <= allowed else f"no read of a kubelet was begun for {age:.0f} s"

    def _tried_problem(self, parts: Parts) -> str | None:
        """Say which nodes were not tried yet; once all were, later nodes change nothing."""
        if self._all_tried:
            return None
        if not parts.nodes_synced.is_set():
            return "the list of nodes has not arrived"
        now = time.monotonic()
        self._synced_at = self._synced_at or now
        untried = in_state(parts.states(), PENDING)
        if untried and now - self._synced_at < LONGEST_UNREADY:
            return f"{untried} nodes have not been tried yet"
        self._all_tried = True
        return None


def _ended(tasks: Collection[asyncio.Task[None]]) -> str | None:
    names = [task.get_name() for task in tasks if task.done()]
    return f"ended: {', '.join(names)}" if names else None
