"""The time of the last request to each kubelet, as the reference exposes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric, Sample
from prometheus_client.registry import Collector

from metricsapi.telemetry.lazy import gauge_lines, lazily
from metricsapi.telemetry.series import Series


class LastRequests(Collector):
    """A gauge per node; `at` is changed by who sends the requests."""

    SERIES = Series(
        "metrics_server_kubelet_last_request_time_seconds",
        "gauge",
        "[ALPHA] Time of last request performed to Kubelet API since unix epoch in seconds",
        ("node",),
    )

    def __init__(self) -> None:
        self.at: dict[str, float] = {}  # epoch seconds by node

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self.SERIES.name, self.SERIES.help, labels=self.SERIES.labels)
        yield lazily(family, self._samples, self._lines)

    def _samples(self) -> Iterable[Sample]:
        name = self.SERIES.name
        return (Sample(name, {"node": node}, at) for node, at in list(self.at.items()))

    def _lines(self) -> Iterator[str]:
        return gauge_lines(self.SERIES.name, "node", list(self.at.items()))
