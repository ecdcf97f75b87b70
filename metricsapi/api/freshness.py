"""`metrics_server_api_metric_freshness_seconds`: how old the usage is that clients are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter

from metricsapi.api.index import Entry
from metricsapi.telemetry.histogram import Histogram

_timestamp = attrgetter("usage.timestamp")


def freshness_observer(
    histogram: Histogram, wall: Callable[[], float]
) -> Callable[[Sequence[Entry]], None]:
    """Give what counts the ages of entries in an answer; `wall` gives epoch seconds.

    Ages are whole seconds, as timestamps are in answers, so that a list of thousands is counted
    in a few steps.
    """

    def observe(entries: Sequence[Entry]) -> None:
        now = wall()
        if len(entries) == 1:
            histogram.observe(max(0.0, now - int(_timestamp(entries[0]))))
            return
        times = Counter(map(int, map(_timestamp, entries)))
        for timestamp, count in times.items():
            histogram.observe(max(0.0, now - timestamp), count=count)

    return observe
