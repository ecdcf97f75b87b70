"""Long-running tasks that are started again when they fail or hang, and their health.

A task handles the failures that it expects. Any other exception comes from a bug, or from an input
that nobody thought of, and must not end the process: after a backoff the task starts again on the
same objects, so what it stores is kept. A task that hangs raises nothing: its loop reports progress
in each iteration, and a task without progress for too long has failed, too.
`TaskHealth` shows all this, so nothing is hidden by a restart.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from metricsapi.kube.backoff import Backoff
from metricsapi.kube.progress import Progress

FIRST_BACKOFF = 1.0  # seconds
LONGEST_BACKOFF = 30.0
LONGEST_TEXT = 300  # characters of an error
HEALTHY_AFTER = 60.0  # seconds without a failure: then a task that had failed works again
LONGEST_SILENCE = 300.0  # seconds without progress: then a task hangs
# Seconds in which tasks may still report it when that time is over: if the whole process stood
# still meanwhile, they come round first.
LAST_CHANCE = 5.0
HANGS = "it hangs: it makes no progress"

Clock = Callable[[], float]  # monotonic seconds

log = logging.getLogger(__name__)


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
        self._runs: list[_Run] = []

    def add(self, *tasks: Task) -> None:
        """Add tasks, before `run`."""
        for task in tasks:
            backoff = Backoff(first=self._first_backoff, longest=LONGEST_BACKOFF)
            self._runs.append(
                _Run(task, self._restarted, self._clock, backoff, self._healthy_after)
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


class _Run:
    """One task, its failures and its backoff."""

    def __init__(
        self,
        task: Task,
        restarted: Callable[[str], None],
        clock: Clock,
        backoff: Backoff,
        healthy_after: float,
    ) -> None:
        self.task = task
        self._restarted = restarted
        self._clock = clock
        self._backoff = backoff
        self._healthy_after = healthy_after
        self._restarts = 0
        self._failing_since: float | None = None
        self._error = ""
        self._progress_at = clock()
        self._hung = False  # in the last attempt: then running on for some time proves nothing
        self._may_recover = False  # with the next progress

    def health(self) -> TaskHealth:
        since, error = self._failing_since, self._error
        if since is None and (failing := self._failing()) is not None:
            since, error = failing[0], in_one_line(failing[1])
        if since is None and self._hangs():
            since, error = self._progress_at, HANGS
        seconds = 0.0 if since is None else max(0.0, self._clock() - since)
        return TaskHealth(self.task.name, self._restarts, seconds, error)

    def _failing(self) -> tuple[float, str] | None:
        try:
            return self.task.failing()
        except Exception as error:  # noqa: BLE001  whoever asks for health gets an answer
            return self._clock(), _text(error)

    async def forever(self) -> None:
        while True:
            await self._run_until_failure()
            await asyncio.sleep(self._backoff.delay())
            self._restarts += 1

    async def _run_until_failure(self) -> None:
        """Run the task until it fails or hangs, and note that."""
        self._progress_at = self._clock()
        self._may_recover = False
        loop = asyncio.get_running_loop()
        healthy = loop.call_later(self._healthy_after, self._has_run_long_enough)
        # An asyncio task for each attempt: a cancellation, which may come from anywhere inside
        # and may be pending when the attempt has ended, is then that of the attempt alone.
        attempt = asyncio.create_task(self._attempt(), name=self.task.name)
        hung = False
        try:
            hung = await self._hangs_before_it_ends(attempt)
        finally:
            healthy.cancel()
            if not attempt.done():  # it hangs, or this is being cancelled
                attempt.cancel()
                await asyncio.wait([attempt])
        error = asyncio.CancelledError() if attempt.cancelled() else attempt.result()
        if hung:
            self._has_failed(error, since=self._progress_at, text=HANGS)
        else:
            self._has_failed(error, since=self._clock(), text=_text(error))
        self._hung = hung

    async def _hangs_before_it_ends(self, attempt: asyncio.Task[BaseException]) -> bool:
        """Wait until an attempt has ended or hangs; return whether it hangs."""
        while not attempt.done():
            rest = self.task.longest_silence - self._silence()
            await asyncio.wait([attempt], timeout=max(rest, LAST_CHANCE))
            if rest <= 0 and not attempt.done() and self._hangs():
                return True
        return False

    def _silence(self) -> float:
        return self._clock() - self._progress_at

    def _hangs(self) -> bool:
        return self._silence() > self.task.longest_silence

    def _progress(self) -> None:
        self._progress_at = self._clock()
        if self._may_recover:
            self._has_recovered()

    async def _attempt(self) -> BaseException:
        """Run the task until it fails; return the error."""
        try:
            if self._restarts:
                self._restarted(self.task.name)
            await self.task.run(self._progress)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001  such as a panic of a library in Rust
            return error
        return RuntimeError("the task ended, which nothing had asked for")

    def _has_failed(self, error: BaseException, *, since: float, text: str) -> None:
        """Note a failure; of one that hung the error is the cancellation, which shows where."""
        if self._failing_since is None:
            self._failing_since = since
        if text != self._error:  # once, not at each restart
            message = (
                "a task hangs and will be started again, with what it stores kept"
                if text == HANGS
                else "a task failed and will be started again, with what it stores kept"
            )
            log.error(message, exc_info=error, extra={"data": {"task": self.task.name}})
        self._error = text

    def _has_run_long_enough(self) -> None:
        if self._hung:
            self._may_recover = True
        else:
            self._has_recovered()

    def _has_recovered(self) -> None:
        self._hung = self._may_recover = False
        if self._failing_since is not None:
            data = {"task": self.task.name, "restarts": self._restarts}
            log.info("a task that had failed works again", extra={"data": data})
        self._failing_since, self._error = None, ""


def _text(error: BaseException) -> str:
    """Return the text of an error in one line; of a group, that of its first single error."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    try:
        message = in_one_line(str(error))
    except Exception:  # noqa: BLE001  an exception whose text raises another
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def in_one_line(text: str) -> str:
    """Return foreign text in one line, without control characters of terminals."""
    line = " ".join(text.split())[:LONGEST_TEXT]
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
