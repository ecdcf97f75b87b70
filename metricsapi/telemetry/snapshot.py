"""Self-metrics that need no counting: what the parts of the server know at one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, Sample

from metricsapi.telemetry.lazy import gauge_lines, lazily
from metricsapi.telemetry.node_status import OK, NodeStatus
from metricsapi.telemetry.replicas import ReplicaStatus
from metricsapi.telemetry.series import Series

STORAGE_POINTS = Series(
    "metrics_server_storage_points",
    "gauge",
    "[ALPHA] Number of metrics points stored.",
    ("type",),
)
WATCH_RESTARTS = Series(
    "metricsapi_watch_restarts_total",
    "counter",
    "Watches of the API server that had to begin with a new list.",
    ("resource",),
)
SCRAPES = Series(
    "metricsapi_scrapes_total",
    "counter",
    "Scrapes by reason: periodic (the node's moment in the period has come), prefetch (a query of "
    "its usage is expected), start (the node is new or responds again, or pods on it started).",
    ("reason",),
)
SCRAPES_SKIPPED = Series(
    "metricsapi_scrape_turns_skipped_total",
    "counter",
    "Periodic scrapes left out because the node's scrape before was still under way.",
)
CACHE_REQUESTS = Series(
    "metricsapi_cache_requests_total",
    "counter",
    "Look-ups in the review caches; result is hit or miss.",
    ("cache", "result"),
)
NODES = Series(
    "metricsapi_nodes",
    "gauge",
    "Nodes by state (ok, unusable, failing, pending) and, if it has one, its cause.",
    ("state", "cause"),
)
SAMPLE_AGE = Series(
    "metricsapi_node_sample_age_seconds",
    "gauge",
    "Age of the node usage that is served.",
    ("node",),
)
WITHOUT_CONTAINERS = Series(
    "metricsapi_nodes_without_containers",
    "gauge",
    "Nodes that respond, but list no containers.",
)
TASK_FAILING = Series(
    "metricsapi_task_failing_seconds",
    "gauge",
    "How long a long-running task has not worked; 0 while it works.",
    ("task",),
)
LEADER = Series(
    "metricsapi_leader",
    "gauge",
    "1 while this replica leads the others or scrapes alone, 0 while it follows.",
)
REPLICA_LAG = Series(
    "metricsapi_replica_lag_seconds",
    "gauge",
    "Time since the leader sent the last message that came; no value while no leader is followed.",
)
FOLLOWERS = Series(
    "metricsapi_replica_followers",
    "gauge",
    "Replicas that follow this one.",
)
SERIES = (
    STORAGE_POINTS,
    WATCH_RESTARTS,
    SCRAPES,
    SCRAPES_SKIPPED,
    CACHE_REQUESTS,
    NODES,
    SAMPLE_AGE,
    WITHOUT_CONTAINERS,
    TASK_FAILING,
    LEADER,
    REPLICA_LAG,
    FOLLOWERS,
)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The values of `SERIES` at one moment.

    Mappings are by resource, reason, cache and task; caches have (hits, misses).
    """

    nodes: Sequence[NodeStatus] = ()
    stored_nodes: int = 0
    stored_containers: int = 0
    watch_restarts: Mapping[str, int] = field(default_factory=dict)
    scrapes: Mapping[str, int] = field(default_factory=dict)
    scrapes_skipped: int = 0
    caches: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    task_failing: Mapping[str, float] = field(default_factory=dict)  # seconds
    replica: ReplicaStatus | None = None  # None without --leader-elect

    def families(self) -> Iterator[Metric]:
        """Yield them as metric families."""
        stored = {"container": self.stored_containers, "node": self.stored_nodes}
        yield _family(STORAGE_POINTS, [([kind], count) for kind, count in stored.items()])
        restarts = self.watch_restarts.items()
        yield _family(WATCH_RESTARTS, [([resource], count) for resource, count in restarts])
        yield _family(SCRAPES, [([reason], count) for reason, count in self.scrapes.items()])
        yield _family(SCRAPES_SKIPPED, [([], self.scrapes_skipped)])
        looked_up = [
            ([cache, result], count)
            for cache, counts in self.caches.items()
            for result, count in zip(("hit", "miss"), counts, strict=True)
        ]
        yield _family(CACHE_REQUESTS, looked_up)
        states = Counter({(OK, ""): 0})
        states.update((row.state, row.cause) for row in self.nodes)
        yield _family(NODES, sorted(states.items()))
        yield lazily(_family(SAMPLE_AGE, ()), self._sample_ages, self._sample_age_lines)
        empty = sum(row.state == OK and row.containers == 0 for row in self.nodes)
        yield _family(WITHOUT_CONTAINERS, [([], empty)])
        yield _family(TASK_FAILING, [([task], age) for task, age in self.task_failing.items()])

        yield from self._replica()

    def _replica(self) -> Iterator[Metric]:
        replica = self.replica
        yield _family(LEADER, [([], int(replica is None or not replica.following))])
        lag = None if replica is None else replica.lag
        yield _family(REPLICA_LAG, [] if lag is None else [([], lag)])
        yield _family(FOLLOWERS, [([], 0 if replica is None else replica.followers)])

    def _sample_ages(self) -> Iterable[Sample]:
        return (Sample(SAMPLE_AGE.name, {"node": name}, age) for name, age in self._ages())

    def _sample_age_lines(self) -> Iterator[str]:
        return gauge_lines(SAMPLE_AGE.name, "node", self._ages())

    def _ages(self) -> Iterator[tuple[str, float]]:
        return ((row.name, row.sample_age) for row in self.nodes if row.sample_age is not None)


def _family(series: Series, values: Iterable[tuple[Sequence[str], float]]) -> Metric:
    """Return the family of a counter or gauge from pairs of label values and value."""
    kind = CounterMetricFamily if series.type == "counter" else GaugeMetricFamily
    family = kind(series.name, series.help, labels=series.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family
