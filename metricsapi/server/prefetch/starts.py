"""Has nodes scraped soon after pods have started on them: joins `young_pods` to informer and pool.

pods informer, answers of kubelets → `YoungPods` → the planner and the scraper pool.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from metricsapi.kube.resources import Pod
from metricsapi.scrape.parts import Store
from metricsapi.server.prefetch.young_pods import YoungPods
from metricsapi.storage.types import NodeSample


class Pods(Protocol):
    """Where pods come from: the pods informer."""

    synced: asyncio.Event

    def subscribe(self, callback: Callable[[Pod | None, Pod | None], None], /) -> None: ...


class Pool(Protocol):
    """Scrapes nodes when the planner says: `ScraperPool`."""

    def replan(self, node: str) -> None: ...


class Starts:
    """Follows pods that start; `attach` names the pool that is to plan their nodes again.

    `period` and `min_interval` are --metric-resolution and --min-scrape-interval in seconds.
    """

    def __init__(
        self,
        pods: Pods,
        *,
        period: float,
        min_interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._young = YoungPods(min_interval=min_interval, period=period)
        self._pods = pods
        self._clock = clock
        self._pool: Pool | None = None
        pods.subscribe(self._pod_changed)

    def attach(self, pool: Pool) -> None:
        """Have nodes planned again by this pool."""
        self._pool = pool

    def wanted(self, node: str, last: float) -> Sequence[float]:
        """Return when a node is to be scraped after `last`, in monotonic seconds."""
        return self._young.wanted(node, last)

    def noting(self, store: Store) -> Store:
        """Return a store that also notes which pods the answers of kubelets list."""
        return _NotingStore(store, self._young, self._replan_soon)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if not self._pods.synced.is_set():
            return  # of the first list nobody knows when they started
        if node := self._young.pod_changed(old, new, self._clock()):
            self._replan(node)

    def _replan_soon(self, node: str) -> None:
        """Plan a node again when the pool has noted how its scrape went."""
        asyncio.get_running_loop().call_soon(self._replan, node)

    def _replan(self, node: str) -> None:
        if self._pool is not None:
            self._pool.replan(node)


class _NotingStore:
    """A store that tells `YoungPods` of each answer once that is stored."""

    def __init__(self, inner: Store, young: YoungPods, replan: Callable[[str], None]) -> None:
        self._inner = inner
        self._young = young
        self._replan = replan

    def put_in_steps(self, sample: NodeSample) -> Generator[None, None, None]:
        yield from self._inner.put_in_steps(sample)
        if self._young.scraped(sample):
            self._replan(sample.node)

    def forget(self, node: str) -> None:
        self._inner.forget(node)
        self._young.forget(node)
