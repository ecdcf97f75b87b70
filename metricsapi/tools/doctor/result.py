"""One finding of the doctor."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from metricsapi.scrape.errors import Cause
from metricsapi.telemetry.troubleshooting import remedy

CLUSTER = "cluster"  # the subject of what is not about one node
FITNESS = "fitness"  # whether this server can be installed; the last word
NOT_REACHED = "not reached: see the failure before"


class Status(StrEnum):
    """From the best to the worst.

    SKIP: not checked, for want of permission or because of an earlier failure.
    """

    OK = "ok"
    SKIP = "skip"
    WARN = "warn"
    FAIL = "fail"


class Result(Struct, frozen=True):
    """What was checked, on which subject, with which status, evidence and fix.

    `cause` is a `scrape.errors.Cause`, where there is one.
    """

    check: str
    subject: str
    status: Status
    evidence: str
    fix: str = ""
    cause: str = ""


class Findings:
    """Collects the results about one subject, in order."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.results: list[Result] = []

    def ok(self, check: str, evidence: str) -> None:
        """Add a check that passed."""
        self.results.append(Result(check, self.subject, Status.OK, evidence))

    def warn(self, check: str, evidence: str, fix: str) -> None:
        """Add a check of what works, but not as it should."""
        self.results.append(Result(check, self.subject, Status.WARN, evidence, fix))

    def fail(self, check: str, evidence: str, fix: str) -> None:
        """Add a check of what keeps metrics from being served."""
        self.results.append(Result(check, self.subject, Status.FAIL, evidence, fix))

    def skip(self, check: str, evidence: str) -> None:
        """Add a check that could not be made."""
        self.results.append(Result(check, self.subject, Status.SKIP, evidence))

    def because(
        self, check: str, cause: Cause, evidence: str, status: Status = Status.FAIL
    ) -> None:
        """Add a failure or warning with the remedy of its cause."""
        fix = remedy(cause).fix
        self.results.append(Result(check, self.subject, status, evidence, fix, cause))
