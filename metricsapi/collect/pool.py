"""The scraper pool: every node in its own turn, a bounded number at once."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable

from metricsapi.collect.kubelet import Failure, KubeletClient
from metricsapi.collect.targets import Target
from metricsapi.kube.informer import Informer
from metricsapi.kube.objects import Node
from metricsapi.store import MetricsStore

log = logging.getLogger(__name__)


class ScraperPool:
    """Scrapes each node once a `resolution` (seconds), at its own offset; at first, at once."""

    def __init__(
        self,
        *,
        nodes: Informer[Node],
        target_of: Callable[[Node], Target],
        client: KubeletClient,
        store: MetricsStore,
        resolution: float,
        concurrency: int,
    ) -> None:
        self._nodes = nodes
        self._target_of = target_of
        self._client = client
        self._store = store
        self._resolution = resolution
        self._slots = asyncio.Semaphore(concurrency)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.failures: dict[str, Failure] = {}
        self.tried: set[str] = set()

    async def run(self) -> None:
        """Scrape until cancelled."""
        async with asyncio.TaskGroup() as group:

            def changed(old: Node | None, new: Node | None) -> None:
                if old and (new is None or self._target_of(old) != self._target_of(new)):
                    self._tasks.pop(old.name).cancel()
                if new and new.name not in self._tasks:
                    target = self._target_of(new)
                    self._tasks[new.name] = group.create_task(self._follow(target))
                if old and new is None:
                    group.create_task(self._forget(old.name))

            self._nodes.subscribe(changed)
            await asyncio.Event().wait()

    async def _follow(self, target: Target) -> None:
        while True:
            async with self._slots:
                await self._turn(target)
            await asyncio.sleep(self._until_next(target))

    def _until_next(self, target: Target) -> float:
        """Seconds to this node's next offset on the monotonic clock."""
        now = time.monotonic() / self._resolution - target.offset
        return (math.floor(now) + 1 - now) * self._resolution

    async def _turn(self, target: Target) -> None:
        outcome = await self._client.scrape(target)
        self.tried.add(target.node)
        if isinstance(outcome, Failure):
            before = self.failures.get(target.node)
            if before is None or before.cause != outcome.cause:
                log.warning("node %s: %s", target.node, outcome.message)
            self.failures[target.node] = outcome
            return
        if self.failures.pop(target.node, None):
            log.info("node %s answers again", target.node)
        self._store.put(outcome)

    async def _forget(self, node: str) -> None:
        self._store.forget(node)
        self.failures.pop(node, None)
        self.tried.discard(node)
        await self._client.forget(node)
