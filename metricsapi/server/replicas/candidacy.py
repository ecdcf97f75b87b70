"""A replica's part in the election: none once it is asked to end, nor just after it resigned."""

from __future__ import annotations

import asyncio
import contextlib

from metricsapi.kube.leader_election import LeaderElector
from metricsapi.kube.progress import Progress, unobserved


class Candidacy:
    """Takes part in an election, and only observes it once `leaving` is set.

    After it has resigned it only observes for `pause` seconds, so that another replica leads.
    """

    def __init__(self, elector: LeaderElector, leaving: asyncio.Event, pause: float) -> None:
        self._elector = elector
        self._leaving = leaving
        self._pause = pause
        self._resigns = asyncio.Event()

    def resign(self) -> None:
        """Release the Lease, if this replica holds it, and pause."""
        self._resigns.set()

    async def run(self, progress: Progress = unobserved) -> None:
        """Take part until cancelled."""
        while not self._leaving.is_set():
            await self._take_part(progress)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._elector.observe(progress)
        await self._elector.observe(progress)

    async def _take_part(self, progress: Progress) -> None:
        """Take part until this replica leaves or resigns; then release the Lease."""
        self._resigns.clear()
        async with asyncio.TaskGroup() as group:
            electing = group.create_task(self._elector.run(progress))
            ends = [group.create_task(end.wait()) for end in (self._leaving, self._resigns)]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in (electing, *ends):
                task.cancel()
