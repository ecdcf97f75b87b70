"""One finding of the doctor."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

NOT_REACHED = "not reached: see the failure before"


class Status(StrEnum):
    """SKIP: could not be looked at, for want of permission or because of an earlier failure."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


class Result(Struct, frozen=True):
    """What was checked, on what, how it stands, what was seen, and what to do about it."""

    check: str
    subject: str
    status: Status
    evidence: str
    fix: str = ""


class Findings:
    """Collects the results about one subject, in order."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.results: list[Result] = []

    def ok(self, check: str, evidence: str) -> None:
        """Add: all is well."""
        self.results.append(Result(check, self.subject, Status.OK, evidence))

    def warn(self, check: str, evidence: str, fix: str) -> None:
        """Add: it works, but not as it should."""
        self.results.append(Result(check, self.subject, Status.WARN, evidence, fix))

    def fail(self, check: str, evidence: str, fix: str) -> None:
        """Add: this keeps metrics from being served."""
        self.results.append(Result(check, self.subject, Status.FAIL, evidence, fix))

    def skip(self, check: str, evidence: str, fix: str = "") -> None:
        """Add: this could not be looked at."""
        self.results.append(Result(check, self.subject, Status.SKIP, evidence, fix))
