"""How the stats of one answer are read: what is the same for all of its containers."""

from __future__ import annotations

from metricsapi.storage.limits import Limits
from metricsapi.storage.rates import Interval, interval
from metricsapi.storage.timing import Instant, Timing
from metricsapi.storage.windows import Windows

COARSEST = 1.0  # seconds that a kubelet's times are cut to at most


class Rules:
    """The times and limits of one answer, and what its containers have in common."""

    __slots__ = (
        "_measured", "between", "instants", "limits", "oldest_new", "rates_known", "run_needed",
        "since", "timing", "until", "windows",
    )  # fmt: skip

    def __init__(
        self,
        timing: Timing,
        limits: Limits,
        windows: Windows,
        run_needed: int,
        *,
        rates_known: bool,
        oldest_new: float,
    ) -> None:
        self.timing = timing
        self.instants = timing.instants
        self.limits = limits  # of the node
        self.windows = windows
        self.rates_known = rates_known  # the kubelet has run for long enough to have rates
        # Seconds since the node's last answer; a container that was not in it is no older.
        self.oldest_new = oldest_new
        # Agreeing readings in a row that make a stat one that is read at request time.
        self.run_needed = run_needed
        # Of the last container about which there was no doubt: the instants of its two readings
        # and the time between, which are the same for most containers of an answer.
        self.since: Instant | None = None
        self.until: Instant | None = None
        self.between = Interval(0.0, 0.0, 0.0)
        # The same of the last container, whatever is known of it.
        self._measured: tuple[Instant, Instant, bool, Interval] | None = None

    def measure(self, since: Instant, until: Instant, *, trusted: bool) -> Interval:
        """Return the time between two readings of one stat.

        `trusted` is whether the stat is known to be read at request time.
        """
        if self._measured is not None:
            last_since, last_until, last_trusted, between = self._measured
            if last_since is since and last_until is until and last_trusted is trusted:
                return between
        between = interval(
            since,
            until,
            self.timing,
            self.limits,
            trusted=trusted,
            shortest=self.windows.shortest,
        )
        self._measured = since, until, trusted, between
        apart = until.time - since.time >= COARSEST
        if trusted and apart and until.requested - since.requested >= self.windows.enough:
            self.since, self.until, self.between = since, until, between
        return between
