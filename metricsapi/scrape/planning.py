"""When each node is scraped next: at its moment in the period, or when the planner says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.scrape.node_state import NodeState
from metricsapi.scrape.parts import Plan, Planner, Reason
from metricsapi.scrape.schedule import Schedule, group_count, group_offset, next_scrape

# Whatever a planner says, a node's scrapes are no further apart, and no closer together.
LONGEST = 1.5  # periods
SHORTEST = 1.0  # seconds; a third of a shorter period than 3 s

log = logging.getLogger(__name__)


class ScrapePlans:
    """Calls `on_due` with each node when its next scrape is due; plans that of every node.

    The planner decides while `planner_decides()`.
    """

    def __init__(
        self,
        on_due: Callable[[NodeState], None],
        planner: Planner,
        planner_decides: Callable[[], bool],
        settings: KubeletSettings,
    ) -> None:
        self._schedule = Schedule(on_due)
        self._planner = planner
        self._planner_decides = planner_decides
        self._resolution = settings.resolution
        self._grouped = settings.transport == "direct"
        self._groups = 1

    def plan(self, state: NodeState, now: float, nodes: int) -> None:
        """Plan the scrape after the one that is due `now`, in a cluster of so many nodes."""
        if self._grouped:
            self._groups = group_count(nodes, self._groups)
        state.periodic = self._moment(state, now, first=state.periodic is None)
        self._plan(state, now, state.periodic)

    def replan(self, state: NodeState) -> None:
        """Plan the next scrape again, since what it depends on has changed."""
        if state.periodic is None:  # its first scrape is yet to come
            return
        now = asyncio.get_running_loop().time()
        if state.periodic < now:  # the planner had put the scrape after it: the first from now on
            state.periodic = self._moment(state, now - self._resolution / 3)
        self._plan(state, now, state.periodic)

    def cancel(self, state: NodeState) -> None:
        """Plan no more scrapes of a node."""
        self._schedule.cancel(state)

    def clear(self) -> None:
        """Plan no more scrapes."""
        self._schedule.clear()

    def _moment(self, state: NodeState, scraped_at: float, *, first: bool = False) -> float:
        """Return a node's next moment: through the API server at its own offset, else in groups.

        Offsets are spread evenly over the period, and so is then the load on the API server.
        """
        offset = state.offset
        if self._grouped:
            offset = group_offset(offset, self._resolution, self._groups)
        return next_scrape(scraped_at, offset, self._resolution, first=first)

    def _plan(self, state: NodeState, now: float, periodic: float) -> None:
        at, state.reason = periodic, Reason.PERIODIC
        last = state.last_scrape
        if last is not None and state.failure is None and self._planner_decides():
            plan = self._planned(state.target.node, last, periodic)
            at, state.reason = self._bounded(plan.at, last, now), plan.reason
        state.next_scrape = at
        self._schedule.plan(at, state)

    def _planned(self, node: str, last: float, periodic: float) -> Plan:
        try:
            return self._planner.next_scrape(node, last, periodic)
        except Exception:  # a bug in the planner must not end the scraping of a node
            log.exception("planning a scrape failed", extra={"data": {"node": node}})
            return Plan(periodic, Reason.PERIODIC)

    def _bounded(self, at: float, last: float, now: float) -> float:
        """Return the time nearest to `at` that is not past, too soon or too long after `last`."""
        earliest = max(now, last + min(SHORTEST, self._resolution / 3))
        latest = last + LONGEST * self._resolution
        return max(earliest, min(latest, at))  # in this order, so that NaN becomes `latest`
