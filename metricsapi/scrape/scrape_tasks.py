"""Runs the scrapes of nodes in few tasks, within two in-flight limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.scrape.concurrency import InFlightLimit
from metricsapi.scrape.node_state import NodeState


class ScrapeTasks:
    """Calls `scrape` for each node that is added; it returns whether the scrape succeeded.

    Nodes whose last scrape failed have an in-flight limit of their own, and a scrape that takes
    longer than `slow_after` seconds makes room for the next one: a hundred kubelets that hang delay
    no other node. Through the API server, which is not to be flooded, the limit is hard.
    """

    def __init__(
        self,
        scrape: Callable[[NodeState], Awaitable[bool]],
        settings: KubeletSettings,
        slow_after: float | None,
    ) -> None:
        self._scrape = scrape
        if settings.transport != "direct":
            slow_after = None
        self._healthy = InFlightLimit(settings.concurrency, self._start, slow_after)
        self._failed = InFlightLimit(settings.failed_concurrency, self._start)

    def add(self, state: NodeState) -> None:
        """Scrape a node, now or when the limit allows it; it has `limit` until that is done."""
        state.limit = self._healthy if state.failure is None else self._failed
        state.limit.add(state)

    def cancel(self, state: NodeState) -> None:
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
                if await self._scrape(state):
                    following = self._next(state, task)
            finally:
                if state.task is task:  # otherwise it was cancelled, and perhaps started again
                    self._release(state)
            state = following

    def _next(self, state: NodeState, task: asyncio.Task[None] | None) -> NodeState | None:
        """Return the node that this task scrapes next, in place of `state`; None for none."""
        if state.task is not task or state.limit is None:
            return None
        following = state.limit.replace(state)
        state.limit = state.task = None
        if following is not None:
            following.task = task
        return following
