"""When each node is read: evenly over the resolution, a bounded number at a time."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from metricsapi.collect.failure import Cause, Failure
from metricsapi.collect.options import CollectSettings, every_node
from metricsapi.collect.targets import Target, target_of
from metricsapi.kube.objects import Node
from metricsapi.samples import NodeSample

log = logging.getLogger(__name__)


class Scraper(Protocol):
    """Reads one node: `KubeletClient`, or the API server's proxy."""

    async def scrape(self, target: Target, deadline: float) -> NodeSample | Failure: ...
    def drop(self, node: str) -> None: ...
    def close(self) -> None: ...


class Store(Protocol):
    """Where samples go: `MetricsStore`."""

    def put(self, sample: NodeSample) -> None: ...
    def forget(self, node: str) -> None: ...


class Nodes(Protocol):
    """Where nodes come from: the nodes informer."""

    def subscribe(self, callback: Callable[[Node | None, Node | None], None]) -> None: ...


class NodeState:
    """One node's turns, and how the last ones went; times in monotonic seconds."""

    __slots__ = (
        "duration", "failure", "last_good", "last_turn", "offset", "skipped", "target", "task",
        "timer",
    )  # fmt: skip

    def __init__(self, target: Target, offset: float) -> None:
        self.target = target
        self.offset = offset
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None
        self.failure: Failure | None = None  # of the last turn
        self.last_turn: float | None = None
        self.last_good: float | None = None
        self.duration: float | None = None  # seconds the last turn took
        self.skipped = 0


class ScraperPool:
    """Reads every node of the informer once per resolution, and stores what it says."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        client: Scraper,
        store: Store,
        settings: CollectSettings,
        selects: Callable[[Mapping[str, str]], bool] = every_node,
    ) -> None:
        self.states: dict[str, NodeState] = {}
        self._nodes = nodes
        self._client = client
        self._store = store
        self._settings = settings
        self._selects = selects
        self._well = asyncio.Semaphore(settings.concurrency)
        self._failed = asyncio.Semaphore(settings.failed_concurrency)
        self._broken = asyncio.Event()

    async def run(self) -> None:
        """Read nodes until cancelled."""
        self._nodes.subscribe(self._changed)
        try:
            await self._broken.wait()
        finally:
            for name in list(self.states):
                self._leave(name)
            self._client.close()

    def _changed(self, old: Node | None, new: Node | None) -> None:
        if new is None or not self._selects(new.labels):
            if old is not None:
                self._leave(old.name)
                self._store.forget(old.name)
            return
        target = target_of(new, self._settings)
        state = self.states.get(new.name)
        if state is None:
            state = NodeState(target, offset_of(new.name, self._settings.resolution))
            self.states[new.name] = state
            self._turn(state)
        elif state.target != target:
            state.target = target
            self._client.drop(new.name)

    def _leave(self, name: str) -> None:
        state = self.states.pop(name, None)
        if state is None:
            return
        if state.timer is not None:
            state.timer.cancel()
        if state.task is not None:
            state.task.cancel()
        self._client.drop(name)

    def _turn(self, state: NodeState) -> None:
        """Begin a turn, unless the last one is still going on, and plan the next one."""
        loop = asyncio.get_running_loop()
        first = state.last_turn is None
        now = loop.time()
        state.last_turn = now
        at = next_turn(now, state.offset, self._settings.resolution, first=first)
        state.timer = loop.call_at(at, self._turn, state)
        if state.task is not None:
            state.skipped += 1
            return
        state.task = loop.create_task(self._scrape(state))

    async def _scrape(self, state: NodeState) -> None:
        try:
            async with self._failed if state.failure else self._well:
                begun = time.monotonic()
                result = await self._read(state.target, begun + self._settings.timeout)
                state.duration = time.monotonic() - begun
            self._ended(state, result)
        finally:
            state.task = None

    async def _read(self, target: Target, deadline: float) -> NodeSample | Failure:
        try:
            return await self._client.scrape(target, deadline)
        except Exception as error:  # a fault of ours must not stop the reading of a node for good
            log.exception("reading node %s", target.node)
            return Failure(Cause.INTERNAL, f"{type(error).__name__}: {error}")

    def _ended(self, state: NodeState, result: NodeSample | Failure) -> None:
        before = state.failure
        if isinstance(result, Failure):
            state.failure = result
            if before is None or before.cause is not result.cause:
                log.warning("node %s: %s", state.target.node, result.message)
            return
        state.failure = None
        state.last_good = time.monotonic()
        self._store.put(result)
        if before is not None:
            log.info("node %s: answers again", state.target.node)


def offset_of(node: str, resolution: float) -> float:
    """Give a node's own place inside the resolution: always the same, and spread evenly."""
    digest = hashlib.blake2b(node.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 * resolution


def next_turn(now: float, offset: float, resolution: float, *, first: bool) -> float:
    """Give the time of the next turn: the node's next place on the clock.

    After a first turn, which is taken at once, that place may be near: a read so soon costs the
    node and tells nothing, so then the turn comes half a resolution after the place instead.
    """
    at = (math.floor((now - offset) / resolution) + 1) * resolution + offset
    if first and at - now < resolution / 3:
        return at + resolution / 2
    # A timer may fire a moment early, and must not then take the same turn twice.
    return at + resolution if at - now < resolution / 100 else at
