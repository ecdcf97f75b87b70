"""Every self-metric, on a registry that is passed in; one attribute per series.

The six `metrics_server_*` series have the reference's names, labels, buckets and meaning; ours
begin with `metricsapi_`; HTTP requests are counted as every Kubernetes API server counts them.
What others know anyway (nodes, stored points) is asked for when `/metrics` is read. For one
event loop: nothing here locks.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from metricsapi.telemetry.histogram import DEFAULT_BUCKETS, Histogram, scrape_buckets
from metricsapi.telemetry.node_status import OK, NodeStatus

# Multiplied one after the other as Go does it, so that the texts of the bounds are the same.
FRESHNESS_BUCKETS = tuple(accumulate(range(19), lambda bound, _: bound * 1.364, initial=1.0))
# apiserver_request_duration_seconds of k8s.io/apiserver has 51; these are its decades.
REQUEST_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 3.0, 5.0, 15.0, 60.0)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_REQUEST_LABELS = ("verb", "group", "version", "resource", "subresource", "scope", "component")


class Telemetry:
    """All series. `resolution` in seconds places the buckets of the tick duration."""

    def __init__(self, registry: CollectorRegistry, *, resolution: float, version: str) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # the reference has no *_created series
        self.registry = registry
        self.nodes: Callable[[], Sequence[NodeStatus]] = tuple
        self.storage_points: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self.watch_restarts: Callable[[], Mapping[str, int]] = dict
        self.turns_skipped: Callable[[], int] = int
        self.caches: Callable[[], Mapping[str, tuple[int, int]]] = dict  # hits and misses

        def histogram(
            name: str, text: str, buckets: Sequence[float], labels: Sequence[str] = ()
        ) -> Histogram:
            made = Histogram(name, text, buckets, labels)
            registry.register(made)
            return made

        def counter(name: str, text: str, labels: Sequence[str] = ()) -> Counter:
            return Counter(name, text, labels, registry=registry)

        # The reference's six; three of them are made by _AtRead.
        self.freshness = histogram(
            "metrics_server_api_metric_freshness_seconds",
            "[ALPHA] Freshness of metrics exported",
            FRESHNESS_BUCKETS,
        )
        self.kubelet_duration = histogram(
            "metrics_server_kubelet_request_duration_seconds",
            "[ALPHA] Duration of requests to Kubelet API in seconds",
            DEFAULT_BUCKETS,
            ["node"],
        )
        self.kubelet_requests = Tally(true=0)  # by whether they succeeded
        self.tick = histogram(
            "metrics_server_manager_tick_duration_seconds",
            "[ALPHA] The total time spent collecting and storing metrics in seconds.",
            scrape_buckets(resolution),
        )
        self.last_request: dict[str, float] = {}

        # Collecting
        self.scrape_phase = histogram(
            "metricsapi_scrape_phase_seconds",
            "Time of one part of reading a kubelet.",
            DEFAULT_BUCKETS,
            ["phase"],
        )
        self.scrape_failures = counter(
            "metricsapi_scrape_failures", "Reads of kubelets that failed, by cause.", ["cause"]
        )
        # Serving
        self._reviews = counter(
            "metricsapi_reviews",
            "Reviews asked of the API server; result is allowed, denied or error.",
            ["kind", "result"],
        )
        self._review_duration = histogram(
            "metricsapi_review_duration_seconds",
            "Time that the API server took to answer a review.",
            DEFAULT_BUCKETS,
            ["kind"],
        )
        self.requests = counter(
            "apiserver_request",
            "Requests answered, by what they asked for and HTTP status code.",
            [*_REQUEST_LABELS, "code"],
        )
        self.request_duration = histogram(
            "apiserver_request_duration_seconds",
            "Time to the end of the answer in seconds.",
            REQUEST_BUCKETS,
            _REQUEST_LABELS,
        )
        self._counted: dict[tuple[tuple[str, ...], int], tuple[Counter, tuple[str, ...]]] = {}
        self.inflight = 0
        Gauge(
            "apiserver_current_inflight_requests",
            "Requests being served.",
            ["request_kind"],
            registry=registry,
        ).labels("readOnly").set_function(lambda: self.inflight)
        # The process
        self.loop_lag = histogram(
            "metricsapi_event_loop_lag_seconds",
            "How late the event loop ran a timer.",
            LAG_BUCKETS,
        )
        self.ready = Gauge("metricsapi_ready", "1 once /readyz succeeded.", registry=registry)
        Gauge("metricsapi_build_info", "Always 1.", ["version"], registry=registry).labels(
            version
        ).set(1)
        registry.register(_AtRead(self))
        prometheus_client.ProcessCollector(registry=registry)
        prometheus_client.PlatformCollector(registry=registry)
        prometheus_client.GCCollector(registry=registry)

    def kubelet_request(self, node: str, seconds: float, *, success: bool, at: float) -> None:
        """Count one request to a kubelet that took `seconds` and ended at `at` (epoch)."""
        self.kubelet_duration.observe(seconds, node)
        self.last_request[node] = at
        self.kubelet_requests["true" if success else "false"] += 1

    def forget_node(self, node: str) -> None:
        """Drop the series of a node that is gone from the cluster."""
        self.kubelet_duration.forget(node)
        self.last_request.pop(node, None)

    def review(self, kind: str, result: str, seconds: float) -> None:
        """Count one review: a TokenReview or SubjectAccessReview, allowed, denied or error."""
        self._reviews.labels(kind, result).inc()
        self._review_duration.observe(seconds, kind)

    def request(self, target: tuple[str, ...], code: int, seconds: float) -> None:
        """Count one answered request; `target` is (verb, group, version, resource, subresource,
        scope).
        """
        counted = self._counted.get((target, code))
        if counted is None:  # the client library looks a series up slowly, and each time
            labels = (*target, "metrics-server")
            counted = self._counted[target, code] = self.requests.labels(*labels, str(code)), labels
        counter, labels = counted
        counter.inc()
        self.request_duration.observe(seconds, *labels)


class _AtRead(Collector):
    """Series whose values others hold; asked for when the registry is read."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def describe(self) -> Iterable[Metric]:
        return []  # else registering would read values that are not there yet

    def collect(self) -> Iterator[Metric]:
        last = GaugeMetricFamily(
            "metrics_server_kubelet_last_request_time_seconds",
            "[ALPHA] Time of last request performed to Kubelet API since unix epoch in seconds",
            labels=["node"],
        )
        for node, at in list(self._telemetry.last_request.items()):
            last.add_metric([node], at)
        yield last
        requests = CounterMetricFamily(
            "metrics_server_kubelet_request",
            "[ALPHA] Number of requests sent to Kubelet API",
            labels=["success"],
        )
        for success, count in self._telemetry.kubelet_requests.items():
            requests.add_metric([success], count)
        yield requests
        points = GaugeMetricFamily(
            "metrics_server_storage_points",
            "[ALPHA] Number of metrics points stored.",
            labels=["type"],
        )
        nodes, containers = self._telemetry.storage_points()
        points.add_metric(["container"], containers)
        points.add_metric(["node"], nodes)
        yield points
        restarts = CounterMetricFamily(
            "metricsapi_watch_restarts",
            "Watches of the API server that had to begin with a new list.",
            labels=["resource"],
        )
        for resource, count in self._telemetry.watch_restarts().items():
            restarts.add_metric([resource], count)
        yield restarts
        yield CounterMetricFamily(
            "metricsapi_scrape_turns_skipped",
            "Turns of nodes left out because the one before was still under way.",
            self._telemetry.turns_skipped(),
        )
        caches = CounterMetricFamily(
            "metricsapi_cache_requests",
            "Look-ups in our caches; result is hit or miss.",
            labels=["cache", "result"],
        )
        for cache, counts in self._telemetry.caches().items():
            for result, count in zip(("hit", "miss"), counts, strict=True):
                caches.add_metric([cache, result], count)
        yield caches
        yield from _node_families(self._telemetry.nodes())


def _node_families(rows: Sequence[NodeStatus]) -> Iterator[Metric]:
    states = GaugeMetricFamily(
        "metricsapi_nodes",
        "Nodes by state (ok, failing, pending) and, if failing, its cause.",
        labels=["state", "cause"],
    )
    tally = Tally({(OK, ""): 0})
    tally.update((row.state, row.cause) for row in rows)
    for labels, count in sorted(tally.items()):
        states.add_metric(labels, count)
    yield states
    ages = GaugeMetricFamily(
        "metricsapi_node_sample_age_seconds",
        "Age of the node usage that is served.",
        labels=["node"],
    )
    for row in rows:
        if row.sample_age is not None:
            ages.add_metric([row.name], row.sample_age)
    yield ages
    empty = sum(row.state == OK and row.containers == 0 for row in rows)
    yield GaugeMetricFamily(
        "metricsapi_nodes_without_containers",
        "Nodes that answer, but list no containers.",
        value=empty,
    )
