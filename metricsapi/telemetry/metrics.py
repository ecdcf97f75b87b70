"""Every self-metric that is counted where something happens: one struct, one attribute each.

The `metrics_server_*` series have the reference's names, labels, buckets and meaning; ours begin
with `metricsapi_`; HTTP requests are counted as every Kubernetes API server counts them. What
other parts know anyway (nodes, stored points) is in `snapshot`. For one event loop: nothing here
locks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from metricsapi.telemetry.histogram import DEFAULT_BUCKETS, Histogram, scrape_buckets
from metricsapi.telemetry.last_requests import LastRequests
from metricsapi.telemetry.series import Series
from metricsapi.telemetry.snapshot import Snapshot

COMPONENT = "metrics-server"  # the label by which k8s.io/apiserver tells components apart
# Multiplied step by step as Go does it, so that the texts of the bounds are the same.
FRESHNESS_BUCKETS = tuple(accumulate(range(19), lambda bound, _: bound * 1.364, initial=1.0))
# Half a period is the mean age at queries of a scrape once a period, 1.5 s what prefetch aims at.
QUERY_AGE_BUCKETS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 6.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0)
# apiserver_request_duration_seconds of k8s.io/apiserver has 51; these are its decades.
REQUEST_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 3.0, 5.0, 15.0, 60.0)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_REQUEST_LABELS = ("verb", "group", "version", "resource", "subresource", "scope", "component")


class Telemetry:
    """All counted self-metrics, on a registry that is passed in.

    `resolution` (seconds) sets the buckets of the cycle's duration; `version` is ours.
    """

    def __init__(self, registry: CollectorRegistry, *, resolution: float, version: str) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # the reference has no *_created series
        self.registry = registry
        self.series: list[Series] = []
        self._of_the_reference(resolution)
        self._of_scraping()
        self._of_prefetch()
        self._of_serving()
        self._of_the_process(version)

    def _of_the_reference(self, resolution: float) -> None:
        """Make what the reference has, but its storage points: they are part of a snapshot."""
        self.freshness = self._histogram(
            "metrics_server_api_metric_freshness_seconds",
            "[ALPHA] Freshness of metrics exported",
            FRESHNESS_BUCKETS,
        )
        self.kubelet_duration = self._histogram(
            "metrics_server_kubelet_request_duration_seconds",
            "[ALPHA] Duration of requests to Kubelet API in seconds",
            DEFAULT_BUCKETS,
            ["node"],
        )
        self.kubelet_requests = self._counter(
            "metrics_server_kubelet_request_total",
            "[ALPHA] Number of requests sent to Kubelet API",
            ["success"],
        )
        self.kubelet_requests.labels("true")  # is there before the first request
        self.last_request = LastRequests()  # epoch seconds by node
        self._register(LastRequests.SERIES, self.last_request)
        self.tick = self._histogram(
            "metrics_server_manager_tick_duration_seconds",
            "[ALPHA] The total time spent collecting and storing metrics in seconds.",
            scrape_buckets(resolution),
        )

    def _of_scraping(self) -> None:
        self.scrape_phase = self._histogram(
            "metricsapi_scrape_phase_seconds",
            "Time of one phase of a scrape: connect, wait, read or store.",
            DEFAULT_BUCKETS,
            ["phase"],
        )
        self.scrape_failures = self._counter(
            "metricsapi_scrape_failures_total", "Scrapes that failed, by cause.", ["cause"]
        )
        self.withheld_pods = self._counter(
            "metricsapi_withheld_pods_total",
            "Pods in responses of nodes that are not served, by reason: uid (the API server has "
            "the pod under another uid), node (it is bound to another node), undecided (several "
            "nodes list it, and it is being looked up which of them is right), name (no pod can "
            "have such names).",
            ["reason"],
        )

    def _of_prefetch(self) -> None:
        self.expected_queries = self._counter(
            "metricsapi_expected_queries_total",
            "Queries that were expected, by result: predicted (they came in time) or missed (they "
            "did not come, or at another time).",
            ["result"],
        )
        self.expected_query(0, 0)  # both are there before the first query
        self.remembered_queries = self._gauge(
            "metricsapi_remembered_queries",
            "Distinct queries for pods whose times are remembered, so that the next is expected.",
        )

    def _of_serving(self) -> None:
        self.reviews = self._counter(
            "metricsapi_reviews_total",
            "TokenReviews and SubjectAccessReviews sent to the API server; result is allowed, "
            "denied or error.",
            ["kind", "result"],
        )
        self.review_duration = self._histogram(
            "metricsapi_review_duration_seconds",
            "Time that the API server took to respond to a review.",
            DEFAULT_BUCKETS,
            ["kind"],
        )
        self.requests = self._counter(
            "apiserver_request_total",
            "Requests served, by verb, resource and HTTP status code.",
            [*_REQUEST_LABELS, "code"],
        )
        self.request_duration = self._histogram(
            "apiserver_request_duration_seconds",
            "Time to the end of the response in seconds.",
            REQUEST_BUCKETS,
            _REQUEST_LABELS,
        )
        self.query_usage_age = self._histogram(
            "metricsapi_query_usage_age_seconds",
            "Age of usage when it is sent, of each node or pod, by what was asked: selector (a "
            "label selector, as autoscalers do), list (all of a namespace or of the cluster) or "
            "single (one by name).",
            QUERY_AGE_BUCKETS,
            ["by"],
        )
        self.refusals = self._counter(
            "metricsapi_refused_requests_total",
            "Requests and connections that were refused before they were served, by reason.",
            ["reason"],
        )
        self.inflight = 0  # requests that are being served
        self._gauge(
            "apiserver_current_inflight_requests", "Requests being served.", ["request_kind"]
        ).labels("readOnly").set_function(lambda: self.inflight)

    def _of_the_process(self, version: str) -> None:
        self.loop_lag = self._histogram(
            "metricsapi_event_loop_lag_seconds",
            "How late the event loop ran a timer.",
            LAG_BUCKETS,
        )
        self.task_restarts = self._counter(
            "metricsapi_task_restarts_total",
            "Unforeseen failures after which a long-running task was started again.",
            ["task"],
        )
        self.ready = self._gauge("metricsapi_ready", "1 while /readyz succeeds, 0 otherwise.")
        self._gauge("metricsapi_build_info", "Always 1.", ["version"]).labels(version).set(1)
        prometheus_client.ProcessCollector(registry=self.registry)
        prometheus_client.PlatformCollector(registry=self.registry)
        prometheus_client.GCCollector(registry=self.registry)

    def families(self, snapshot: Snapshot) -> Iterator[Metric]:
        """Yield every metric family that `/metrics` shows."""
        return chain(self.registry.collect(), snapshot.families())

    def kubelet_request(self, node: str, seconds: float, *, success: bool, at: float) -> None:
        """Count one request to a kubelet that took `seconds` and ended at `at` (epoch seconds)."""
        self.kubelet_duration.observe(seconds, node)
        self.last_request.at[node] = at
        self.kubelet_requests.labels("true" if success else "false").inc()

    def forget_node(self, node: str) -> None:
        """Drop the series of a node that is gone from the cluster."""
        self.kubelet_duration.forget(node)
        self.last_request.at.pop(node, None)

    def review(self, kind: str, result: str, seconds: float) -> None:
        """Count one review: a TokenReview or SubjectAccessReview; allowed, denied or error."""
        self.reviews.labels(kind, result).inc()
        self.review_duration.observe(seconds, kind)

    def request(self, target: tuple[str, ...], code: int, seconds: float) -> None:
        """Count one served request; `target` is (verb, group, version, resource, subresource,
        scope), `code` the HTTP status.
        """
        labels = (*target, COMPONENT)
        self.requests.labels(*labels, str(code)).inc()
        self.request_duration.observe(seconds, *labels)

    def refusal(self, reason: str) -> None:
        """Count a request or connection that was refused before it was served."""
        self.refusals.labels(reason).inc()

    def task_restarted(self, task: str) -> None:
        """Count that a long-running task was started again after a failure."""
        self.task_restarts.labels(task).inc()

    def withheld_pod(self, reason: str) -> None:
        """Count a pod in a response of a node that is not served, since the node may not own it."""
        self.withheld_pods.labels(reason).inc()

    def expected_query(self, came: int, missed: int) -> None:
        """Count expected queries that came in time, and those that were missed."""
        self.expected_queries.labels("predicted").inc(came)
        self.expected_queries.labels("missed").inc(missed)

    def totals(self) -> dict[str, float]:
        """Return what happened since the start: requests, scrapes, and failed scrapes."""
        return {
            "requests": _total(self.requests),
            "scrapes": _total(self.kubelet_requests),
            "scrape_failures": _total(self.scrape_failures),
        }

    def _histogram(
        self, name: str, text: str, buckets: Sequence[float], labels: Sequence[str] = ()
    ) -> Histogram:
        histogram = Histogram(name, text, buckets, labels)
        self._register(Series(name, "histogram", text, tuple(labels)), histogram)
        return histogram

    def _counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        counter = Counter(name.removesuffix("_total"), text, labels, registry=None)
        self._register(Series(name, "counter", text, tuple(labels)), counter)
        return counter

    def _gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        gauge = Gauge(name, text, labels, registry=None)
        self._register(Series(name, "gauge", text, tuple(labels)), gauge)
        return gauge

    def _register(self, series: Series, collector: Collector) -> None:
        self.series.append(series)
        self.registry.register(collector)


def _total(counter: Counter) -> float:
    return sum(sample.value for family in counter.collect() for sample in family.samples)
