"""A histogram for hot paths: one list of counts, no locks, no objects per bucket.

prometheus_client's own keeps a locked object for every bucket of every label value, which at
5,000 nodes is tens of megabytes. This one is for one event loop; its text is the one that
prometheus_client's encoders write.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric, Sample
from prometheus_client.registry import Collector

from metricsapi.telemetry.lazy import (
    count_text,
    escaped,
    histogram_template,
    lazily,
    number_text,
)

DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Observations:
    """The observations under one set of label values: how many in each bucket, and their sum."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Count `value` (`count` times, for many equal ones)."""
        self.counts[bisect_left(self._bounds, value)] += count
        self.total += value * count

    def observe_ages(self, now: float, times: Sequence[float]) -> None:
        """Count the ages at `now` of ascending times; the age of a later time is 0.

        It looks for where the next bucket begins, so it takes as many steps as buckets are met.
        """
        start, end = 0, bisect_right(times, now)
        self.counts[0] += len(times) - end
        self.total += now * end - sum(times[:end])
        while start < end:
            bucket = bisect_left(self._bounds, now - times[start])
            following = end
            if bucket:
                newer = now - self._bounds[bucket - 1]
                following = max(bisect_left(times, newer, start, end), start + 1)
            self.counts[bucket] += following - start
            start = following


class Histogram(Collector):
    """Observations in fixed buckets (upper bounds, ascending), by the values of `labels`."""

    def __init__(
        self, name: str, text: str, buckets: Sequence[float], labels: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.text = text
        self.buckets = tuple(buckets)
        self.labels = tuple(labels)
        self._bounds = [*map(_go_text, self.buckets), "+Inf"]
        self.series: dict[tuple[str, ...], Observations] = {}
        if not labels:
            self.of()  # present from the start

    def of(self, *labels: str) -> Observations:
        """Return the series of these label values; it is made at the first use."""
        series = self.series.get(labels)
        if series is None:
            series = self.series[labels] = Observations(self.buckets)
        return series

    def observe(self, value: float, *labels: str, count: int = 1) -> None:
        """Count `value` (`count` times, for many equal ones) under these label values."""
        self.of(*labels).observe(value, count)

    def forget(self, *labels: str) -> None:
        """Drop the series of these label values, if there is one."""
        self.series.pop(labels, None)

    def describe(self) -> Iterable[Metric]:
        return [HistogramMetricFamily(self.name, self.text, labels=self.labels)]

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        yield lazily(family, self.samples, self.lines)

    def samples(self) -> Iterator[Sample]:
        """Yield the samples of all series; those of one series at once, so that they agree."""
        for labels, series in list(self.series.items()):  # a node may go while this is iterated
            cumulative, buckets = 0, []
            for bound, count in zip(self._bounds, series.counts, strict=True):
                cumulative += count
                buckets.append((bound, float(cumulative)))
            family = HistogramMetricFamily(self.name, self.text, labels=self.labels)
            family.add_metric(labels, buckets, series.total)
            yield from family.samples

    def lines(self) -> Iterator[str]:
        """Yield the text of all series, those of one series at once, as `samples` are encoded."""
        template = histogram_template(self.name, self.labels, self._bounds)
        order = sorted(range(len(self.labels)), key=self.labels.__getitem__)
        for values, series in list(self.series.items()):
            labels = [escaped(values[index]) for index in order]
            cumulative = [count_text(count) for count in accumulate(series.counts)]
            numbers = [*cumulative, cumulative[-1], number_text(series.total)]
            yield template % tuple([text for number in numbers for text in (*labels, number)])


def _go_text(value: float) -> str:
    """Go's text of a float: the shortest that reads back as the same number, `1` not `1.0`."""
    return repr(float(value)).removesuffix(".0")


def scrape_buckets(resolution: float) -> tuple[float, ...]:
    """Default buckets with the resolution and its neighbourhood, as the recording has them."""
    last = DEFAULT_BUCKETS[-1]
    if resolution > last:
        half = last + (resolution - last) / 2
        return (*DEFAULT_BUCKETS, half, resolution, resolution * 1.5, resolution * 2)
    near = any(abs(bound - resolution) < DEFAULT_BUCKETS[0] for bound in DEFAULT_BUCKETS)
    return DEFAULT_BUCKETS if near else tuple(sorted((*DEFAULT_BUCKETS, resolution)))
