"""Scrapes every node once per period, a bounded number at a time.

As in Prometheus there is one loop for each target: due → in-flight limit → scrape and report. The
targets come from the nodes informer, the samples go to the store.
"""

from __future__ import annotations

import asyncio
import logging
import time

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.resources import Node
from metricsapi.kube.selectors import parse_labels
from metricsapi.scrape.concurrency import SLOW_AFTER, InFlightLimit
from metricsapi.scrape.decoding import run_in_slices
from metricsapi.scrape.errors import CANCELLED, Cause, Failure
from metricsapi.scrape.node_state import NodeState
from metricsapi.scrape.parts import Nodes, Scraper, ScrapesAlone, Sharing, Store
from metricsapi.scrape.schedule import (
    Schedule,
    group_count,
    group_offset,
    next_scrape,
    offset_of,
)
from metricsapi.scrape.targets import PATH_ANNOTATION, IPFamily, Target, refused_path, target_of
from metricsapi.storage.types import NodeSample

MANY_PODS = 200  # of one node: storing them takes some 3 ms

log = logging.getLogger(__name__)


class ScraperPool:
    """Scrapes every node of the informer that --node-selector selects, and stores the samples.

    Nodes whose last scrape failed have an in-flight limit of their own, and a scrape that takes
    long makes room for the next one: a hundred kubelets that hang delay no other node.
    """

    def __init__(
        self,
        *,
        nodes: Nodes,
        client: Scraper,
        store: Store,
        settings: KubeletSettings,
        ip_family: IPFamily | None = None,
        slow_after: float | None = SLOW_AFTER,
        sharing: Sharing | None = None,
    ) -> None:
        """Scrape as `settings` say; what `sharing` forbids comes by `accept` instead."""
        self.states: dict[str, NodeState] = {}
        self.skipped = 0  # skipped scrapes, also of nodes that are gone
        self._newest_scrape: float | None = None
        self._nodes = nodes
        self._client = client
        self._store = store
        self._settings = settings
        self._ip_family = ip_family
        self._sharing = sharing or ScrapesAlone()
        self._requirements = parse_labels(settings.node_selector)
        self._schedule = Schedule(self._due)
        self._spread = settings.transport == "apiserver-proxy"
        self._groups = 1
        # The API server is not to be flooded: there the limit is hard.
        slow_after = None if self._spread else slow_after
        self._healthy = InFlightLimit(settings.concurrency, self._start, slow_after)
        self._failed = InFlightLimit(settings.failed_concurrency, self._start)

    @property
    def newest_scrape(self) -> float | None:
        """When a scrape was last due, in monotonic seconds; None if there are no nodes."""
        return self._newest_scrape if self.states else None

    async def run(self) -> None:
        """Scrape nodes until cancelled; then end every scrape and close every connection."""
        self._nodes.subscribe(self._on_node)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            tasks = [state.task for state in self.states.values() if state.task is not None]
            self._schedule.clear()
            for name in list(self.states):
                self._remove(name)
            await asyncio.gather(*tasks, return_exceptions=True)
            self._client.close()

    def accept(self, node: str, result: NodeSample | Failure, ended_at: float) -> bool:
        """Take the result of another replica's scrape, as if the scrape had been ours.

        `ended_at` is in our monotonic seconds. Tells whether it was taken: a result that is no
        newer than the last one of its node, or of a node that is not scraped, changes nothing.
        """
        state = self.states.get(node)
        if state is None or not _newer(ended_at, state):
            return False
        now = time.monotonic()
        state.last_scrape = self._newest_scrape = now
        self._report(state, self._stored(node, result), min(ended_at, now))
        return True

    def scrape_late(self) -> None:
        """Scrape now, not when they are due, the nodes without a result in the last period."""
        now = time.monotonic()
        for state in list(self.states.values()):
            late = not state.tried or state.without_result(now) > self._settings.resolution
            if late and state.limit is None:
                self._enqueue(state)

    def _selects(self, node: Node) -> bool:
        return all(requirement.matches(node.labels) for requirement in self._requirements)

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        """Follow the informer: `old` is None for a new node, `new` for one that is gone."""
        if new is None or not self._selects(new):
            if old is not None and old.name in self.states:
                self._remove(old.name)
                self._store.forget(old.name)
                self._sharing.forget(old.name)
            return
        target = target_of(new, self._settings, self._ip_family)
        state = self.states.get(new.name)
        if (path := refused_path(new)) and (old is None or refused_path(old) != path):
            data = {"node": new.name, "annotation": PATH_ANNOTATION, "value": path[:100]}
            log.warning("annotation is no plain path and is not used", extra={"data": data})
        if state is None:
            offset = offset_of(new.name, self._settings.resolution)
            state = NodeState(target, offset, time.monotonic())
            self.states[new.name] = state
            self._due(state)
        elif state.target != target:
            state.target = target
            self._cancel(state)
            self._client.drop(new.name)
            self._enqueue(state)
        elif state.failure is not None and state.limit is None and _became_ready(old, new):
            self._enqueue(state)

    def _remove(self, name: str) -> None:
        state = self.states.pop(name, None)
        if state is not None:
            self._cancel(state)
            self._client.drop(name)

    def _due(self, state: NodeState) -> None:
        """Plan the next scrape of a node and start this one, unless the last one is in flight."""
        if self.states.get(state.target.node) is not state:
            return
        now = asyncio.get_running_loop().time()
        at = self._next_scrape(state, now)
        self._schedule.plan(at, state)
        state.last_scrape = self._newest_scrape = now
        if state.limit is not None:
            state.skipped += 1
            self.skipped += 1
        else:
            self._enqueue(state)

    def _next_scrape(self, state: NodeState, now: float) -> float:
        """Give when a node is due next: through the API server at its own offset, else in groups.

        Offsets are spread evenly over the period, and so is then the load on the API server.
        """
        resolution, offset = self._settings.resolution, state.offset
        if not self._spread:
            self._groups = group_count(len(self.states), self._groups)
            offset = group_offset(offset, resolution, self._groups)
        return next_scrape(now, offset, resolution, first=state.last_scrape is None)

    def _enqueue(self, state: NodeState) -> None:
        if not self._sharing.may_scrape() and not self._missed(state):
            return
        state.limit = self._healthy if state.failure is None else self._failed
        state.limit.add(state)

    def _missed(self, state: NodeState) -> bool:
        """Tell whether whoever scrapes for us seems not to know a node."""
        patience = 2 * self._settings.resolution + self._settings.timeout
        return state.without_result(time.monotonic()) > patience

    def _cancel(self, state: NodeState) -> None:
        """End the scrape that is queued or in flight, if there is one."""
        if state.task is not None:
            state.task.cancel()
        self._release(state)

    def _release(self, state: NodeState) -> None:
        limit, state.limit, state.task = state.limit, None, None
        if limit is not None:
            limit.remove(state)

    def _start(self, state: NodeState) -> None:
        state.task = asyncio.get_running_loop().create_task(self._run(state))

    async def _run(self, state: NodeState | None) -> None:
        """Scrape a node, and as long as scrapes succeed, the next queued node after each.

        A task of its own for each scrape would cost more CPU than the exchange with the kubelet.
        """
        while state is not None:
            task = state.task
            following = None
            try:
                if await self._scrape_and_report(state):
                    following = self._next(state, task)
            finally:
                if state.task is task:  # otherwise it was cancelled, and perhaps started again
                    self._release(state)
            state = following

    def _next(self, state: NodeState, task: asyncio.Task[None] | None) -> NodeState | None:
        """Give the node that this task scrapes next, in the place of the one that it has done."""
        if state.task is not task or state.limit is None:
            return None
        following = state.limit.replace(state)
        state.limit = state.task = None
        if following is not None:
            following.task = task
        return following

    async def _scrape_and_report(self, state: NodeState) -> bool:
        """Scrape a node once and note how that went; tell whether it succeeded."""
        begun = time.monotonic()
        if state.first_start is None:
            state.first_start = begun
        result = await self._scrape(state.target, begun + self._settings.timeout)
        if isinstance(result, NodeSample) and not _newer(result.answered_at, state):
            return True  # another replica's sample came meanwhile
        if isinstance(result, NodeSample) and len(result.pods) > MANY_PODS:
            result = await self._stored_in_slices(state.target.node, result)
        else:
            result = self._stored(state.target.node, result)
        now = time.monotonic()
        state.duration = now - begun
        self._sharing.publish(state.target.node, result, now)
        return self._report(state, result, now)

    async def _scrape(self, target: Target, deadline: float) -> NodeSample | Failure:
        try:
            return await self._client.scrape(target, deadline)
        except CANCELLED:
            raise
        except BaseException as error:  # a bug must not end the scraping of a node
            log.exception("scraping a node failed", extra={"data": {"node": target.node}})
            return _internal(error)

    def _stored(self, node: str, result: NodeSample | Failure) -> NodeSample | Failure:
        """Store a sample; give the result, or the failure to store it."""
        try:
            if isinstance(result, NodeSample):
                self._store.put(result)
        except CANCELLED:
            raise
        except BaseException as error:  # as above
            log.exception("storing a sample failed", extra={"data": {"node": node}})
            return _internal(error)
        return result

    async def _stored_in_slices(self, node: str, sample: NodeSample) -> NodeSample | Failure:
        """Store a sample of so many pods that others are to be served in between."""
        try:
            await run_in_slices(self._store.put_in_steps(sample))
        except CANCELLED:
            raise
        except BaseException as error:  # as above
            log.exception("storing a sample failed", extra={"data": {"node": node}})
            return _internal(error)
        return sample

    def _report(self, state: NodeState, result: NodeSample | Failure, now: float) -> bool:
        """Note how a scrape went; tell whether it succeeded."""
        if isinstance(result, Failure):
            state.failed(result, now)
            return False
        state.succeeded(now, result.unusable)
        return True


def _newer(ended_at: float, state: NodeState) -> bool:
    return state.last_result is None or ended_at > state.last_result


def _internal(error: BaseException) -> Failure:
    return Failure(Cause.INTERNAL, f"{type(error).__name__}: {error}")


def _became_ready(old: Node | None, new: Node) -> bool:
    return new.ready and old is not None and not old.ready
