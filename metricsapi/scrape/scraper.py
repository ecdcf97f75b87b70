"""Scrapes every node once per period, a bounded number at a time.

As in Prometheus there is one loop for each target: due → in-flight limit → scrape and report. The
targets come from the nodes informer, the samples go to the store.
"""

from __future__ import annotations

import asyncio
import time

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.informer import Informer
from metricsapi.kube.progress import Progress, unobserved
from metricsapi.kube.resources import Node
from metricsapi.kube.selector_parser import parse_labels
from metricsapi.kube.selectors import Conditions
from metricsapi.scrape.concurrency import SLOW_AFTER
from metricsapi.scrape.errors import Failure
from metricsapi.scrape.intake import Intake
from metricsapi.scrape.kubelet import KubeletClient
from metricsapi.scrape.node_state import NodeState
from metricsapi.scrape.parts import (
    Periodic,
    Planner,
    Reason,
    ScrapesAlone,
    Sharing,
    Store,
)
from metricsapi.scrape.planning import ScrapePlans
from metricsapi.scrape.schedule import offset_of
from metricsapi.scrape.scrape_tasks import ScrapeTasks
from metricsapi.scrape.slices import Slices
from metricsapi.scrape.targets import IPFamily, log_refused_path, target_of
from metricsapi.storage.types import NodeSample
from metricsapi.telemetry.metrics import Telemetry


class ScraperPool:
    """Scrapes every node of the informer that --node-selector selects, and stores the samples."""

    def __init__(
        self,
        *,
        nodes: Informer[Node],
        client: KubeletClient,
        store: Store,
        telemetry: Telemetry,
        settings: KubeletSettings,
        ip_family: IPFamily | None = None,
        slow_after: float | None = SLOW_AFTER,
        sharing: Sharing | None = None,
        planner: Planner | None = None,
        slices: Slices | None = None,
    ) -> None:
        """Scrape as `settings` say; what `sharing` forbids comes by `accept` instead."""
        self.states: dict[str, NodeState] = {}
        self.skipped = 0  # periodic scrapes, also of nodes that are gone
        self.scrapes = dict.fromkeys(map(str, Reason), 0)  # that were begun
        self._newest_scrape: float | None = None
        self._progress = unobserved
        self._nodes = nodes
        self._client = client
        self._intake = Intake(client, store, telemetry, slices or Slices())
        self._settings = settings
        self._ip_family = ip_family
        self._sharing = sharing or ScrapesAlone()
        self._selector = Conditions(parse_labels(settings.node_selector))
        may_scrape = self._sharing.may_scrape
        self._plans = ScrapePlans(self._due, planner or Periodic(), may_scrape, settings)
        self._tasks = ScrapeTasks(self._scrape_and_report, settings, slow_after)

    @property
    def newest_scrape(self) -> float | None:
        """When a scrape was last due, in monotonic seconds; None if there are no nodes."""
        return self._newest_scrape if self.states else None

    @property
    def patience(self) -> float:
        """The seconds in which a node has a result, from whichever replica scrapes it."""
        return 2 * self._settings.resolution + self._settings.timeout

    async def run(self, progress: Progress = unobserved) -> None:
        """Scrape nodes until cancelled; then end every scrape and close every connection.

        `progress` is called with each result, and once per period while there are no nodes.
        """
        self._progress = progress
        self._nodes.subscribe(self._on_node)
        try:
            while True:
                if not self.states:
                    progress()
                await asyncio.sleep(self._settings.resolution)
                self._intake.end_cycle()
        finally:
            tasks = [state.task for state in self.states.values() if state.task is not None]
            self._plans.clear()
            for name in list(self.states):
                self._remove(name)
            await asyncio.gather(*tasks, return_exceptions=True)
            self._client.close()

    def accept(self, node: str, result: NodeSample | Failure, ended_at: float) -> bool:
        """Take the result of another replica's scrape, as if the scrape had been ours.

        `ended_at` is in our monotonic seconds. Returns whether it was taken: a result that is no
        newer than the last one of its node, or of a node that is not scraped, changes nothing.
        """
        state = self.states.get(node)
        if state is None or not state.is_newer(ended_at):
            return False
        self._newest_scrape = now = time.monotonic()
        state.last_scrape = min(ended_at, now)
        if isinstance(result, NodeSample):
            result = self._intake.store_at_once(result)
        self._report(state, result, state.last_scrape)
        return True

    def scrape_late(self) -> None:
        """Scrape now, not when they are due, the nodes without a result in the last period."""
        now = time.monotonic()
        for state in list(self.states.values()):
            late = not state.tried or state.without_result(now) > self._settings.resolution
            if late and state.limit is None:
                self._scrape_now(state, Reason.PERIODIC)
            else:  # the planner had no say in what is planned
                self._plans.replan(state)

    def replan(self, node: str) -> None:
        """Ask the planner again when to scrape a node next, since its answer may have changed."""
        if (state := self.states.get(node)) is not None:
            self._plans.replan(state)

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        """Follow the informer: `old` is None for a new node, `new` for one that is gone."""
        if new is None or not self._selector.met_by(new.labels):
            if old is not None and old.name in self.states:
                self._remove(old.name)
                self._intake.forget(old.name)
                self._sharing.forget(old.name)
            return
        log_refused_path(old, new)
        target = target_of(new, self._settings, self._ip_family)
        state = self.states.get(new.name)
        if state is None:
            offset = offset_of(new.name, self._settings.resolution)
            state = NodeState(target, offset, time.monotonic())
            self.states[new.name] = state
            self._scrape_now(state, Reason.START)
        elif state.target != target:
            state.target = target
            self._tasks.cancel(state)
            self._client.drop(new.name)
            self._scrape_now(state, Reason.START)
        elif state.failure is not None and state.limit is None and _became_ready(old, new):
            self._scrape_now(state, Reason.START)

    def _remove(self, name: str) -> None:
        state = self.states.pop(name, None)
        if state is not None:
            self._plans.cancel(state)
            self._tasks.cancel(state)
            self._client.drop(name)

    def _due(self, state: NodeState) -> None:
        self._scrape_now(state, state.reason)

    def _scrape_now(self, state: NodeState, reason: Reason) -> None:
        """Scrape a node, unless its last scrape is in flight, and plan the one after this."""
        self._newest_scrape = now = asyncio.get_running_loop().time()
        wanted = self._wanted(state)
        if wanted:
            state.last_scrape = now
        self._plans.plan(state, now, len(self.states))
        if wanted and state.limit is None:
            state.scraped_for = reason
            self._tasks.add(state)
        elif wanted and reason is Reason.PERIODIC:
            state.skipped += 1
            self.skipped += 1

    def _wanted(self, state: NodeState) -> bool:
        """Return whether this replica is to scrape a node.

        While another replica scrapes, that is so only for a node of which no result has come for
        longer than `patience`: the other replica seems not to know it.
        """
        if self._sharing.may_scrape():
            return True
        return state.without_result(time.monotonic()) > self.patience

    async def _scrape_and_report(self, state: NodeState) -> bool:
        """Scrape a node once and note how that went; return whether it succeeded.

        It may have been queued for so long that another replica scrapes by now.
        """
        if not self._wanted(state):
            return True
        self.scrapes[state.scraped_for] += 1
        started = time.monotonic()
        if state.first_start is None:
            state.first_start = started
        result = await self._intake.scrape(state.target, started + self._settings.timeout)
        if isinstance(result, NodeSample):
            if not state.is_newer(result.answered_at):
                return True  # another replica's sample came meanwhile
            result = await self._intake.store(result)
        elif not self._wanted(state):
            return True  # another replica scrapes by now, and knows better
        now = time.monotonic()
        state.duration = now - started
        if state.last_scrape is not None and isinstance(result, NodeSample):
            state.took(now - state.last_scrape)
        succeeded = self._report(state, result, now)
        self._sharing.publish(state.target.node, result, now)
        return succeeded

    def _report(self, state: NodeState, result: NodeSample | Failure, now: float) -> bool:
        """Note how a scrape went; return whether it succeeded."""
        self._progress()
        failed_before = state.failure is not None
        if isinstance(result, Failure):
            state.failed(result, now)
        else:
            state.succeeded(now, result.unusable)
        fails = state.failure is not None
        if fails is not failed_before:  # the planner decides for nodes that do not fail
            self._plans.replan(state)
        return not fails


def _became_ready(old: Node | None, new: Node) -> bool:
    return new.ready and old is not None and not old.ready
