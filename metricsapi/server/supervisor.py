"""Long-running tasks that are started again when they fail or hang, and their health.

A task handles the failures that it expects. Any other exception comes from a bug, or from an input
that nobody thought of, and must not end the process: after a backoff the task starts again on the
same objects, so what it stores is kept. A task that hangs raises nothing: its loop reports progress
in each iteration, and a task without progress for too long has failed, too.
`TaskHealth` shows all this, so nothing is hidden by a restart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from metricsapi.kube.backoff import Backoff
from metricsapi.server.task import Task, TaskHealth
from metricsapi.server.task_run import Clock, TaskRun

FIRST_BACKOFF = 1.0  # seconds
LONGEST_BACKOFF = 30.0
HEALTHY_AFTER = 60.0  # seconds without a failure: then a task that had failed works again


class Supervisor:
    """Runs tasks until cancelled. `restarted` is called with a task's name at each restart.

    Durations are in seconds.
    """

    def __init__(
        self,
        restarted: Callable[[str], None] = lambda _: None,
        *,
        clock: Clock = time.monotonic,
        first_backoff: float = FIRST_BACKOFF,
        healthy_after: float = HEALTHY_AFTER,
    ) -> None:
        self._restarted = restarted
        self._clock = clock
        self._first_backoff = first_backoff
        self._healthy_after = healthy_after
        self._runs: list[TaskRun] = []

    def add(self, *tasks: Task) -> None:
        """Add tasks, before `run`."""
        for task in tasks:
            backoff = Backoff(first=self._first_backoff, longest=LONGEST_BACKOFF)
            self._runs.append(
                TaskRun(task, self._restarted, self._clock, backoff, self._healthy_after)
            )

    def health(self) -> list[TaskHealth]:
        """Return the health of every task, in the order in which they were added."""
        return [run.health() for run in self._runs]

    def problems(self) -> list[str]:
        """Return what is wrong with the tasks, in words; empty while all of them work."""
        return [problem for health in self.health() if (problem := health.problem)]

    async def run(self) -> None:
        """Run all tasks until cancelled; no failure of a task ends this."""
        tasks = [asyncio.create_task(run.forever(), name=run.task.name) for run in self._runs]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
