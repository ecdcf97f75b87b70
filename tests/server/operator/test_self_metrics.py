"""Self-metrics: the reference's six series, ours, and none of nodes that are gone."""

import asyncio
import re

import httpx
import pytest
from fastapi import APIRouter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import PlainTextResponse

from metricsapi.server.operator.metrics import metrics_routes
from metricsapi.server.operator.request_metrics import RequestTelemetry, target_of
from metricsapi.telemetry.histogram import Histogram, scrape_buckets
from metricsapi.telemetry.metrics import Telemetry
from metricsapi.telemetry.node_status import NodeStatus
from metricsapi.telemetry.snapshot import Snapshot
from tests.server.operator.serving import app_of


@pytest.fixture
def telemetry():
    return Telemetry(CollectorRegistry(), resolution=15.0, version="1")


class Families:
    """What encoders use of a registry."""

    def __init__(self, telemetry, snapshot):
        self.collect = lambda: telemetry.families(snapshot)


def text_of(telemetry, **snapshot):
    return generate_latest(Families(telemetry, Snapshot(**snapshot))).decode()


def routes(telemetry, **options):
    async def families():
        return telemetry.families(Snapshot())

    return metrics_routes(families, started=options.get("started", 0.0))


def series(text):
    """Every series by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_six_series_of_the_recording_and_no_others_of_that_prefix(telemetry, recorded):
    telemetry.kubelet_request("node-3", 0.01, success=True, at=1e9)
    text = text_of(telemetry, stored_nodes=100, stored_containers=6000)
    ours = {key for key in series(text) if key[0].startswith("metrics_server_")}
    assert ours == set(series(recorded["metrics"]["body"]))


def test_help_and_type_lines_are_the_recorded_ones(telemetry, recorded):
    def heads(text):
        return set(re.findall(r"^# (?:HELP|TYPE) metrics_server_.*$", text, re.MULTILINE))

    assert heads(text_of(telemetry)) == heads(recorded["metrics"]["body"])


def test_freshness_is_there_from_the_start(telemetry):
    assert "metrics_server_api_metric_freshness_seconds_count 0.0" in text_of(telemetry)


def test_series_of_a_node_that_is_gone_disappear(telemetry):
    telemetry.kubelet_request("gone", 0.01, success=False, at=1e9)
    assert 'node="gone"' in text_of(telemetry)
    telemetry.forget_node("gone")
    assert 'node="gone"' not in text_of(telemetry)


def test_nodes_are_counted_by_state_and_cause(telemetry):
    nodes = [
        NodeStatus(name="a", state="ok", containers=3, sample_age=4.5),
        NodeStatus(name="b", state="ok", containers=0),
        NodeStatus(name="c", state="failing", cause="refused"),
        NodeStatus(name="d", state="failing", cause="refused"),
    ]
    got = series(text_of(telemetry, nodes=nodes))
    refused = frozenset({("state", "failing"), ("cause", "refused")})
    assert got["metricsapi_nodes", refused] == 2
    assert got["metricsapi_nodes", frozenset({("state", "ok"), ("cause", "")})] == 2
    assert got["metricsapi_nodes_without_containers", frozenset()] == 1
    assert got["metricsapi_node_sample_age_seconds", frozenset({("node", "a")})] == 4.5


def test_what_other_parts_count_is_shown(telemetry):
    telemetry.task_restarted("scraper")
    text = text_of(
        telemetry,
        scrapes={"periodic": 5, "prefetch": 2},
        scrapes_skipped=7,
        caches={"tokens": (3, 1)},
        task_failing={"scraper": 12.5, "readiness": 0.0},
    )
    got = series(text)
    scraper = frozenset({("task", "scraper")})
    assert got["metricsapi_task_restarts_total", scraper] == 1
    assert got["metricsapi_task_failing_seconds", scraper] == 12.5
    assert got["metricsapi_scrape_turns_skipped_total", frozenset()] == 7
    assert got["metricsapi_scrapes_total", frozenset({("reason", "periodic")})] == 5
    assert got["metricsapi_scrapes_total", frozenset({("reason", "prefetch")})] == 2
    tokens = ("cache", "tokens")
    assert got["metricsapi_cache_requests_total", frozenset({tokens, ("result", "hit")})] == 3
    assert got["metricsapi_cache_requests_total", frozenset({tokens, ("result", "miss")})] == 1


def test_histogram_counts_cumulatively_and_values_on_a_bound_belong_below_it():
    histogram = Histogram("h", "text", [1, 2])
    histogram.observe(1.0)
    histogram.observe(1.5, count=3)
    histogram.observe(9.0)
    registry = CollectorRegistry()
    registry.register(histogram)
    got = series(generate_latest(registry).decode())
    assert got["h_bucket", frozenset({("le", "1")})] == 1
    assert got["h_bucket", frozenset({("le", "2")})] == 4
    assert got["h_count", frozenset()] == 5
    assert got["h_sum", frozenset()] == pytest.approx(14.5)


def test_tick_buckets_hold_the_resolution():
    assert scrape_buckets(15.0)[-4:] == (12.5, 15.0, 22.5, 30.0)
    assert scrape_buckets(7.0)[-2:] == (7.0, 10.0)
    assert scrape_buckets(10.0)[-1] == 10.0


@pytest.mark.parametrize(
    ("method", "path", "want"),
    [
        ("GET", "/apis/metrics.k8s.io/v1beta1/nodes", ("LIST", "nodes", "cluster")),
        ("GET", "/apis/metrics.k8s.io/v1/nodes/a", ("GET", "nodes", "resource")),
        ("GET", "/apis/metrics.k8s.io/v1beta1/pods", ("LIST", "pods", "cluster")),
        ("GET", "/apis/metrics.k8s.io/v1beta1/namespaces/x/pods", ("LIST", "pods", "namespace")),
        ("GET", "/apis/metrics.k8s.io/v1beta1/namespaces/x/pods/y", ("GET", "pods", "resource")),
        ("DELETE", "/apis/metrics.k8s.io/v1beta1/nodes/a", ("DELETE", "nodes", "resource")),
        ("BREW", "/anything/at/all", ("other", "", "")),
    ],
)
def test_requests_are_counted_as_api_servers_count_them(method, path, want):
    verb, _, _, resource, _, scope = target_of(method, path)
    assert (verb, resource, scope) == want


async def test_metrics_endpoint_and_request_series(telemetry):
    tea = APIRouter()

    @tea.get("/tea")
    async def hello():
        return PlainTextResponse("hello", 418)

    app = app_of(routes(telemetry, started=1795424431.7), tea.routes)
    app = RequestTelemetry(app, telemetry)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        assert (await http.get("/tea")).status_code == 418
        got = await http.get("/metrics")
        openmetrics = await http.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert got.headers["Process-Start-Time-Unix"] == "1795424431"
    assert got.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert openmetrics.text.endswith("# EOF\n")
    counted = [key for key in series(got.text) if key[0] == "apiserver_request_total"]
    assert [dict(labels)["code"] for _, labels in counted] == ["418"]
    assert "process_resident_memory_bytes" in got.text
    assert "python_info" in got.text
    assert int(got.headers["Content-Length"]) == len(got.content)


async def test_a_large_answer_comes_in_pieces(telemetry):
    for number in range(400):
        telemetry.kubelet_request(f"n{number}", 0.01, success=True, at=1e9)
    pieces = []

    async def send(message):
        pieces.append(message.get("body", b""))

    async def receive():
        await asyncio.Event().wait()

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/metrics",
        "headers": [],
        "query_string": b"",
    }
    app = app_of(routes(telemetry))
    await app(scope, receive, send)
    assert len([piece for piece in pieces if piece]) > 2
    assert max(map(len, pieces)) < len(b"".join(pieces)) / 2
    assert series(b"".join(pieces).decode()).keys() == series(text_of(telemetry)).keys()


def test_samples_are_made_while_they_are_encoded():
    histogram = Histogram("h", "help", (1.0,), ["node"])
    (family,) = histogram.collect()
    assert not list(family.samples)
    histogram.observe(0.5, "a")
    assert [sample.name for sample in family.samples] == [
        "h_bucket",
        "h_bucket",
        "h_count",
        "h_sum",
    ]
    assert len(list(family.samples)) == 4
