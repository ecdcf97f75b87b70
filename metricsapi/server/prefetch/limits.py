"""How often a node may be scraped: its shortest and its longest gap, and a budget.

Every scrape takes one from the budget, which gains so many a period, at times that are the same for
all nodes. Where no moment is better than another, each node is scraped at the first one after that
time. So nodes of the same queries are soon scraped together, whatever they were scraped for before,
and an HPA with pods on them sees the whole of a change sooner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from metricsapi.storage.windows import ENOUGH

# The gap before a moment may be longer than a period by this part of it. A controller's queries are
# a period and its own work apart, up to 0.3 s, and leads vary by up to 2.5 s: a scrape a period
# after the last one, shortly before the moment, would take the budget of the one that is wanted.
SLACK = 0.2


class Limits(NamedTuple):
    """What is the same for all nodes of a kind. Times are monotonic seconds."""

    period: float  # --metric-resolution
    shortest: float  # --min-scrape-interval, at most a period
    budget: float  # scrapes a period
    most: int  # scrapes that the budget holds

    @property
    def longest(self) -> float:
        """How long after a scrape the next one is made at the latest."""
        return (1 + SLACK) * self.period

    def is_period(self, interval: float) -> bool:
        """Return whether an interval is about a period: each scrape can be for its query."""
        return abs(interval - self.period) <= SLACK * self.period

    def has_long_window(self, scrapes: Sequence[float], at: float) -> bool:
        """Return whether a rate that is read at `at` has a long window, by `storage.windows`.

        Never where the budget is one scrape a period: there each rate runs from the last scrape.
        """
        latest, earliest = at - ENOUGH * self.period, at - self.longest
        return self.budget > 1 and not any(earliest <= each <= latest for each in scrapes)

    def fewest_gaps(self, seconds: float) -> int:
        """Return how many gaps between scrapes fill this time at least."""
        return max(1, math.ceil(seconds / self.longest))

    def can_be_apart(self, seconds: float) -> bool:
        """Return whether gaps between scrapes, none too short or too long, fill this time."""
        return seconds >= self.fewest_gaps(seconds) * self.shortest

    def horizon(self, last: float) -> float:
        """Return until when moments matter for the scrape after the one at `last`.

        Scrapes can be any time apart that is long enough: a later moment can be met anyway.
        """
        gaps = math.ceil(self.shortest / (self.longest - self.shortest))
        return last + (1 + gaps) * self.longest

    def gain(self, since: float, until: float) -> int:
        """Return how many scrapes the budget gains between two times."""
        return self._gain(until) - self._gain(since)

    def when_gained(self, scrapes: int, since: float) -> float:
        """Return when the budget has gained so many scrapes since a time."""
        return (self._gain(since) + scrapes) * self.period / self.budget

    def after(self, level: int, since: float, until: float, scrapes: int) -> int:
        """Return the budget's level after some time, once so many scrapes have been made."""
        return min(self.most, level + self.gain(since, until)) - scrapes

    def _gain(self, at: float) -> int:
        # What `when_gained` gives is in time, however it was rounded.
        return math.floor(at * self.budget / self.period + 1e-6)
