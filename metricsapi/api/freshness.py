"""Measures the age of usage when it is sent to clients, by kind of query."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import attrgetter

from metricsapi.api.entries import Entry
from metricsapi.api.queries import Kind, Query
from metricsapi.telemetry.histogram import Histogram

_timestamp = attrgetter("usage.timestamp")


class UsageAges:
    """A `QueryObserver` that counts the age of each usage that is sent, in two histograms.

    `freshness` is the reference's, with timestamps in whole seconds, as they are sent;
    `ages` has the label `by`, and timestamps as they were taken. `wall` gives epoch seconds.
    """

    def __init__(self, freshness: Histogram, ages: Histogram, wall: Callable[[], float]) -> None:
        self._freshness = freshness.of()
        self._ages = {kind: ages.of(kind) for kind in Kind}  # present from the start
        self._wall = wall

    def query_received(self, query: Query) -> None:
        """Queries have no age."""

    def entries_sent(self, query: Query, entries: Sequence[Entry]) -> None:
        """Count the ages of entries that are sent."""
        now, ages = self._wall(), self._ages[query.kind]
        if len(entries) == 1:
            timestamp = _timestamp(entries[0])
            self._freshness.observe(max(0.0, now - int(timestamp)))
            ages.observe(max(0.0, now - timestamp))
            return
        times = sorted(map(_timestamp, entries))
        ages.observe_ages(now, times)
        start = 0
        while start < len(times):
            second = int(times[start])
            end = bisect_left(times, second + 1, start)
            self._freshness.observe(max(0.0, now - second), end - start)
            start = end
