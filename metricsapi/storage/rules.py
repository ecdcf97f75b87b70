"""How the stats of one answer are read: what is the same for all of its containers."""

from __future__ import annotations

from metricsapi.storage.limits import Limits
from metricsapi.storage.rates import Interval, interval
from metricsapi.storage.timing import Instant, Timing
from metricsapi.storage.windows import Windows


class Rules:
    """The times and limits of one answer, and which of its stats are read at request time."""

    __slots__ = (
        "between", "instants", "limits", "rates_known", "run_needed", "since",
        "timing", "trusted", "until", "windows",
    )  # fmt: skip

    def __init__(
        self,
        timing: Timing,
        limits: Limits,
        windows: Windows,
        run_needed: int,
        *,
        rates_known: bool,
    ) -> None:
        self.timing = timing
        self.instants = timing.instants
        self.limits = limits  # of the node
        self.windows = windows
        self.rates_known = rates_known  # the kubelet has run for long enough to have rates
        # Agreeing readings in a row that make a stat one that is read at request time.
        self.run_needed = run_needed
        # The time that was measured last; it is the same for most containers of an answer.
        self.between = Interval(0.0, 0.0, 0.0)
        self.since: Instant | None = None
        self.until: Instant | None = None
        self.trusted = False

    def measure(self, since: Instant, until: Instant, *, trusted: bool) -> Interval:
        """Give the time between two readings of one stat, which also is `between` from now on.

        `trusted` is whether the stat is known to be read at request time.
        """
        self.since, self.until, self.trusted = since, until, trusted
        self.between = interval(since, until, self.timing, self.limits, trusted=trusted)
        return self.between
