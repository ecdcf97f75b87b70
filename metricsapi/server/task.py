"""A long-running task, and its health at one moment."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from metricsapi.kube.progress import Progress

LONGEST_SILENCE = 300.0  # seconds without progress: then a task hangs


@dataclass(frozen=True)
class Task:
    """One loop that is to run until the process ends.

    `run(progress)` calls `progress` in each iteration of its loop, at least once in
    `longest_silence` seconds, and can be called again after it has raised or was cancelled.
    `failing` gives since when (monotonic seconds) and why the task does not work although it runs,
    as an informer whose API server is away; None while it works.
    """

    name: str
    run: Callable[[Progress], Coroutine[Any, Any, None]]
    failing: Callable[[], tuple[float, str] | None] = lambda: None
    longest_silence: float = LONGEST_SILENCE


@dataclass(frozen=True)
class TaskHealth:
    """One task at one moment."""

    name: str
    restarts: int  # since the start of the process
    failing_seconds: float  # since it last worked; 0 while it works
    error: str  # why it does not work; empty while it works

    @property
    def problem(self) -> str | None:
        """What is wrong, in words; None while the task works."""
        if not self.error:
            return None
        restarts = f", restarted {self.restarts} times" if self.restarts else ""
        age = f"{self.failing_seconds:.0f} s"
        return f"task {self.name} has not worked for {age}{restarts}: {self.error}"
