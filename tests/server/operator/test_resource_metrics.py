"""/metrics/resource: the cluster's usage for Prometheus, with the kubelet's names and times."""

import json
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from metricsapi.server.operator.resource_metrics import exposition, resource_metrics_routes
from metricsapi.storage.rates import Reading
from metricsapi.storage.readings import Readings
from metricsapi.storage.store import MetricsStore
from metricsapi.storage.timing import Instant
from tests.server.operator.rows import failing, good
from tests.server.operator.serving import serving
from tests.support.decoding import decode_resource_metrics
from tests.support.paths import RECORDED

SERIES = RECORDED / "kubelet-1.36-series.jsonl"


def parsed(text):
    return {
        (sample.name, *sorted(sample.labels.items())): (sample.value, sample.timestamp)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def served(readings, rows=()):
    async with serving(resource_metrics_routes(lambda: readings, lambda: rows)) as http:
        got = await http.get("/metrics/resource")
    assert got.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return got.text


async def test_metrics_of_a_real_kubelet_come_out_again_with_its_node():
    """Through decoder and store: same names, values and milliseconds, plus the node's label."""
    recorded = json.loads(SERIES.read_text().splitlines()[0])["resource"]
    now = time.monotonic()
    sample = decode_resource_metrics(
        "n1",
        recorded.encode(),
        requested_at=now,
        answered_at=now,
        wall_offset=1795425197.97 - now,
    )
    store = MetricsStore(max_age=60.0)
    store.put(sample)
    ours = parsed(await served(list(store.readings(now))))
    theirs = parsed(recorded)
    names = {
        "container_cpu_usage_seconds_total",
        "container_memory_working_set_bytes",
        "node_cpu_usage_seconds_total",
        "node_memory_working_set_bytes",
    }
    expected = {key: value for key, value in theirs.items() if key[0] in names}
    assert len(expected) >= 16
    for (name, *labels), (value, when) in expected.items():
        got = ours[(name, *sorted([*labels, ("node", "n1")]))]
        assert got[0] == value
        assert got[1] == pytest.approx(when, abs=0.0011)


def reading(node="n", pod="p", name="c", counter=1_500_000_001, swap=None):
    namespace = "ns" if pod else ""
    cpu = Reading(Instant(1000.0, 1000.0404, None, 0.0, 0.0, 0.0), counter, None, 10.0)
    at = Instant(1001.5, 1001.5, None, 0.0, 0.0, 0.0)
    return Readings(node, namespace, pod, name, 7.25, cpu, 4096, at, swap)


async def test_counters_are_exact_seconds_and_times_are_milliseconds():
    text = await served([reading(), reading(pod="", swap=12)])
    labels = '{container="c",namespace="ns",node="n",pod="p"}'
    assert f"container_cpu_usage_seconds_total{labels} 1.500000001 1000040\n" in text
    assert f"container_memory_working_set_bytes{labels} 4096 1001500\n" in text
    assert f"container_start_time_seconds{labels} 7.25\n" in text
    assert 'node_swap_usage_bytes{node="n"} 12 1001500\n' in text
    assert "container_swap_usage_bytes" not in text


async def test_every_family_is_one_group_even_in_many_pieces():
    readings = [reading(pod=f"p{number}") for number in range(1300)]
    pieces = [piece async for piece in exposition(readings, [])]
    text = b"".join(pieces).decode()
    families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    assert text.count("container_cpu_usage_seconds_total{") == 1300


async def test_nodes_that_cannot_be_read_say_so():
    text = await served([], [good("a"), failing("b", "refused", "x")])
    assert 'resource_scrape_error{node="a"} 0\n' in text
    assert 'resource_scrape_error{node="b"} 1\n' in text


async def test_names_from_kubelets_cannot_forge_lines():
    evil = 'x"} 1\nforged 1\n\\'
    text = await served([reading(pod=evil, name=evil)])
    assert "\nforged" not in text
    assert {key[0] for key in parsed(text)} <= {
        "container_cpu_usage_seconds_total",
        "container_memory_working_set_bytes",
        "container_start_time_seconds",
    }
