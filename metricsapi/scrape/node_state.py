"""How the scrapes of one node went: when the last ones were, and what is logged of them."""

from __future__ import annotations

import asyncio
import logging

from metricsapi.scrape.concurrency import InFlightLimit
from metricsapi.scrape.errors import Cause, Failure
from metricsapi.scrape.parts import Reason
from metricsapi.scrape.targets import Target

LOG_AGAIN_AFTER = 600.0  # seconds before a node that keeps failing and recovering is logged again

SMOOTHING = 0.25  # the share of the last scrape in the usual time of one

log = logging.getLogger(__name__)


class NodeState:
    """One node of the scraper pool. Times are monotonic seconds; None is "never"."""

    __slots__ = (
        "_logged_at", "changed_at", "duration", "failure", "first_start", "known_at",
        "last_result", "last_scrape", "last_success", "limit", "logged", "next_scrape", "offset",
        "periodic", "reason", "scraped_for", "skipped", "target", "task", "unusable", "usual_time",
    )  # fmt: skip

    def __init__(self, target: Target, offset: float, known_at: float) -> None:
        self.target = target
        self.known_at = known_at  # when the node appeared
        self.offset = offset  # seconds inside the period
        self.limit: InFlightLimit[NodeState] | None = None  # where it is queued or in flight
        self.task: asyncio.Task[None] | None = None  # that scrapes it now
        self.failure: Failure | None = None  # of the last scrape
        self.unusable: Failure | None = None  # why no usage follows from the last good answer
        self.changed_at: float | None = None  # when its state last changed
        self.first_start: float | None = None  # when the first scrape was started
        self.last_scrape: float | None = None  # when the last scrape was due
        self.last_result: float | None = None  # when the last scrape ended
        self.last_success: float | None = None
        self.duration: float | None = None  # seconds that the last scrape took
        self.usual_time = 0.0  # seconds from when a scrape is due to its end; smoothed, 0: unknown
        self.periodic: float | None = None  # when the schedule scrapes it next
        self.next_scrape: float | None = None  # when the next scrape is due
        self.reason = Reason.PERIODIC  # of the next scrape
        self.scraped_for = Reason.START  # the reason of the last scrape
        self.skipped = 0  # periodic scrapes skipped because the one before was still in flight
        self.logged = False  # whether the present failure was logged
        self._logged_at: dict[Cause, float] = {}

    @property
    def tried(self) -> bool:
        """Whether a scrape has ended, with a sample or a failure."""
        return self.changed_at is not None

    def without_result(self, now: float) -> float:
        """Return for how many seconds no scrape has ended."""
        return now - (self.known_at if self.last_result is None else self.last_result)

    def is_newer(self, ended_at: float) -> bool:
        """Return whether a scrape that ended then is newer than the last one that is known."""
        return self.last_result is None or ended_at > self.last_result

    def took(self, seconds: float) -> None:
        """Note the seconds from when a scrape was due until it ended."""
        share = SMOOTHING if self.usual_time else 1.0
        self.usual_time += share * (seconds - self.usual_time)

    def succeeded(self, now: float, unusable: str = "") -> None:
        """Note a scrape that succeeded at `now`.

        `unusable` says which usage does not follow from it: that is a state of its own, logged as a
        failure is, but scraping goes on as for any node that responds.
        """
        self.last_result = self.last_success = now
        if unusable:
            self._change(None, Failure(Cause.NO_USAGE, unusable), "node has no usable usage", now)
            return
        if self.failure is not None or self.unusable is not None or self.changed_at is None:
            self.changed_at = now
        if self.logged:
            log.info("node answers again", extra={"data": {"node": self.target.node}})
        self.failure, self.unusable, self.logged = None, None, False

    def failed(self, failure: Failure, now: float) -> None:
        """Note a scrape that failed at `now`."""
        self.last_result = now
        self._change(failure, None, "node failed", now)

    def _change(
        self, failure: Failure | None, unusable: Failure | None, message: str, now: float
    ) -> None:
        """Note a problem, or none. A new cause is logged, but each only once in 10 minutes."""
        before = self.failure or self.unusable
        was_failing, fails = self.failure is not None, failure is not None
        if before is None or was_failing is not fails:
            self.changed_at = now
        self.failure, self.unusable = failure, unusable
        problem = failure or unusable
        if problem is None or (before is not None and before.cause is problem.cause):
            return
        if now - self._logged_at.get(problem.cause, float("-inf")) >= LOG_AGAIN_AFTER:
            self._logged_at[problem.cause] = now
            self.logged = True
            data = {
                "node": self.target.node,
                "cause": problem.cause,
                "error": problem.message,
                "fix": problem.fix,
            }
            log.warning(message, extra={"data": data})
