"""One task that is started again after a backoff when it has failed or hangs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from metricsapi.kube.backoff import Backoff
from metricsapi.server.task import Task, TaskHealth
from metricsapi.telemetry.printable import printable

LONGEST_TEXT = 300  # characters of an error
# Seconds in which a task may still report progress after its longest silence: if the whole process
# stood still meanwhile, the task comes round first.
LAST_CHANCE = 5.0
HANGS = "it hangs: it makes no progress"

Clock = Callable[[], float]  # monotonic seconds

log = logging.getLogger(__name__)


class TaskRun:
    """Runs one task for ever, with its failures and its backoff.

    `restarted` is called with its name at each restart. `healthy_after` is in seconds.
    """

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
        """Return the health of the task now."""
        since, error = self._failing_since, self._error
        if since is None and (failing := self._failing()) is not None:
            since, error = failing[0], printable(failing[1])[:LONGEST_TEXT]
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
        """Run the task, and again after each failure, until cancelled."""
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
        message = printable(str(error))[:LONGEST_TEXT]
    except Exception:  # noqa: BLE001  an exception whose text raises another
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
