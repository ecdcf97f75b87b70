"""Every node read once per resolution, a bounded number at a time, whatever some of them do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from metricsapi.kube.resources import Node
from metricsapi.scrape.concurrency import PATIENCE, InFlight
from metricsapi.scrape.errors import Cause, Failure
from metricsapi.scrape.options import CollectSettings, every_node
from metricsapi.scrape.schedule import gathered, next_turn, offset_of
from metricsapi.scrape.targets import Target, target_of
from metricsapi.scrape.turns import Turns
from metricsapi.storage.types import NodeSample

TOLD_AGAIN = 600.0  # seconds before a node that fails by turns is logged again for one cause

log = logging.getLogger(__name__)


class Scraper(Protocol):
    """Reads one node: `KubeletClient`, or something around it."""

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
        "changed_at", "duration", "failure", "last_good", "last_turn", "logged", "offset",
        "reads", "skipped", "target", "task", "told",
    )  # fmt: skip

    def __init__(self, target: Target, offset: float) -> None:
        self.target = target
        self.offset = offset
        self.reads: InFlight[NodeState] | None = None  # where it waits or is in flight
        self.task: asyncio.Task[None] | None = None
        self.failure: Failure | None = None  # of the last turn
        self.changed_at: float | None = None  # when it last began to fail, or to answer
        self.last_turn: float | None = None
        self.last_good: float | None = None
        self.duration: float | None = None  # seconds the last turn took
        self.skipped = 0  # turns left out because the one before was still going on
        self.logged = False  # that it fails now
        self.told: dict[Cause, float] = {}  # when a cause was last logged

    @property
    def tried(self) -> bool:
        """Whether a turn has ended, well or not."""
        return self.changed_at is not None


class ScraperPool:
    """Reads every node of the informer that `selects` takes, and stores what it says.

    Nodes that failed last turn wait in a small pool of their own, and a read that takes long
    gives its place in the large one to the next: so a hundred hanging kubelets delay nobody.
    """

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
        self.skipped = 0  # turns of all nodes, those gone included
        self._newest_turn: float | None = None
        self._nodes = nodes
        self._client = client
        self._store = store
        self._settings = settings
        self._selects = selects
        self._turns = Turns(self._turn)
        self._well = InFlight(settings.concurrency, self._begin, PATIENCE)
        self._failed = InFlight(settings.failed_concurrency, self._begin)

    @property
    def newest_turn(self) -> float | None:
        """When a read was last begun, in monotonic seconds; None if there are no nodes."""
        return self._newest_turn if self.states else None

    async def run(self) -> None:
        """Read nodes until cancelled; then nothing of it is left."""
        self._nodes.subscribe(self._changed)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            tasks = [state.task for state in self.states.values() if state.task is not None]
            self._turns.clear()
            for name in list(self.states):
                self._leave(name)
            await asyncio.gather(*tasks, return_exceptions=True)
            self._client.close()

    def _changed(self, old: Node | None, new: Node | None) -> None:
        if new is None or not self._selects(new.labels):
            if old is not None and old.name in self.states:
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
            self._stop(state)
            self._client.drop(new.name)
            self._read_soon(state)
        elif state.failure is not None and state.reads is None and _became_ready(old, new):
            self._read_soon(state)

    def _leave(self, name: str) -> None:
        state = self.states.pop(name, None)
        if state is None:
            return
        self._stop(state)
        self._client.drop(name)

    def _turn(self, state: NodeState) -> None:
        """Take a turn, unless the last one is still going on, and plan the next one."""
        if self.states.get(state.target.node) is not state:
            return
        now = asyncio.get_running_loop().time()
        resolution = self._settings.resolution
        place = gathered(state.offset, resolution, len(self.states))
        at = next_turn(now, place, resolution, first=state.last_turn is None)
        self._turns.plan(at, state)
        state.last_turn = self._newest_turn = now
        if state.reads is not None:
            state.skipped += 1
            self.skipped += 1
        else:
            self._read_soon(state)

    def _read_soon(self, state: NodeState) -> None:
        state.reads = self._well if state.failure is None else self._failed
        state.reads.add(state)

    def _stop(self, state: NodeState) -> None:
        """End the turn that is going on, if there is one."""
        if state.task is not None:
            state.task.cancel()
        self._ended(state)

    def _ended(self, state: NodeState) -> None:
        reads, state.reads, state.task = state.reads, None, None
        if reads is not None:
            reads.remove(state)

    def _begin(self, state: NodeState) -> None:
        state.task = asyncio.get_running_loop().create_task(self._scrape(state))

    async def _scrape(self, state: NodeState | None) -> None:
        """Read a node, and while that goes well, each that gets the place of the last one.

        A task for each read would cost more than to ask a kubelet does.
        """
        while state is not None:
            task, begun = state.task, time.monotonic()
            following = None
            try:
                failure = await self._read(state.target, begun + self._settings.timeout)
                now = time.monotonic()
                state.duration = now - begun
                if failure is not None:
                    self._has_failed(state, failure, now)
                else:
                    self._has_answered(state, now)
                    following = self._followed(state, task)
            finally:
                if state.task is task:  # else it was stopped, and perhaps begun again
                    self._ended(state)
            state = following

    def _followed(self, state: NodeState, task: asyncio.Task[None] | None) -> NodeState | None:
        """End a turn that went well; give the node that this task is to read next, if any is."""
        if state.task is not task or state.reads is None:
            return None
        following = state.reads.replace(state)
        state.reads = state.task = None
        if following is not None:
            following.task = task
        return following

    async def _read(self, target: Target, deadline: float) -> Failure | None:
        try:
            result = await self._client.scrape(target, deadline)
            if isinstance(result, Failure):
                return result
            self._store.put(result)
        except Exception as error:  # a fault of ours must not end the reading of a node
            log.exception("reading a node failed", extra={"data": {"node": target.node}})
            return Failure(Cause.INTERNAL, f"{type(error).__name__}: {error}")
        return None

    def _has_answered(self, state: NodeState, now: float) -> None:
        if state.failure is not None or state.changed_at is None:
            state.changed_at = now
        if state.logged:
            log.info("node answers again", extra={"data": {"node": state.target.node}})
        state.failure, state.logged, state.last_good = None, False, now

    def _has_failed(self, state: NodeState, failure: Failure, now: float) -> None:
        before, state.failure = state.failure, failure
        if before is None:
            state.changed_at = now
        elif before.cause is failure.cause:
            return
        if now - state.told.get(failure.cause, float("-inf")) >= TOLD_AGAIN:
            state.told[failure.cause] = now
            state.logged = True
            data = {"node": state.target.node, "cause": failure.cause, "error": failure.message}
            log.warning("node failed", extra={"data": data})


def _became_ready(old: Node | None, new: Node) -> bool:
    return new.ready and old is not None and not old.ready
