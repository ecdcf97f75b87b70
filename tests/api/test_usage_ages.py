"""The ages of usage that clients get, as the histograms count them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from metricsapi.api.freshness import UsageAges
from metricsapi.telemetry.histogram import Observations
from metricsapi.telemetry.metrics import Telemetry
from tests.api.cluster import AT, recorded

ROOT = "/apis/metrics.k8s.io/v1beta1"
SELECTED = f"{ROOT}/namespaces/ns-3/pods?labelSelector=app%3Dapp-3"


@pytest.fixture
def telemetry():
    return Telemetry(CollectorRegistry(), resolution=15.0, version="1")


def serving(telemetry, now):
    return recorded(
        observers=[UsageAges(telemetry.freshness, telemetry.query_usage_age, lambda: now)]
    )


def lines(telemetry, name):
    text = generate_latest(telemetry.registry).decode()
    return [line for line in text.splitlines() if line.startswith(name)]


def counts(telemetry):
    """Return how many usages were counted, by how they were asked for."""
    return {labels[0]: sum(series.counts) for labels, series in ages(telemetry).items()}


def ages(telemetry):
    return telemetry.query_usage_age.series


def test_ages_are_counted_by_how_the_usage_was_asked_for(telemetry):
    cluster = serving(telemetry, AT + 1.75)
    cluster.get(SELECTED)
    cluster.get(f"{ROOT}/namespaces/ns-3/pods")
    cluster.get(f"{ROOT}/nodes")
    cluster.get(f"{ROOT}/namespaces/ns-3/pods/app-7-3")
    assert counts(telemetry) == {"selector": 100, "list": 300 + 100, "single": 1}
    name = "metricsapi_query_usage_age_seconds"
    assert f'{name}_bucket{{by="selector",le="1.5"}} 0.0' in lines(telemetry, name)
    assert f'{name}_bucket{{by="selector",le="2"}} 100.0' in lines(telemetry, name)
    assert ages(telemetry)["selector",].total == pytest.approx(175)


def test_every_kind_is_there_from_the_start(telemetry):
    serving(telemetry, AT)
    assert counts(telemetry) == {"selector": 0, "list": 0, "single": 0}


def test_freshness_counts_timestamps_in_whole_seconds_as_answers_have_them(telemetry):
    cluster = serving(telemetry, AT + 10.5)
    for at, (key, usage) in enumerate(cluster.usages.pods.items()):
        cluster.usages.pods[key] = usage.__class__(
            *(usage.namespace, usage.name, usage.node),
            AT + (at % 4) * 0.4,
            usage.window,
            usage.containers,
        )
    cluster.get(f"{ROOT}/pods")
    # A quarter each of +0, +0.4, +0.8 and +1.2 s: the last one's whole second is AT + 1.
    total = telemetry.freshness.of().total
    assert total == pytest.approx(2250 * 10.5 + 750 * 9.5)
    assert ages(telemetry)["list",].total == pytest.approx(3000 * (10.5 - 0.6))


def test_usage_from_a_clock_that_is_ahead_has_the_age_0(telemetry):
    cluster = serving(telemetry, AT - 30)
    cluster.get(SELECTED)
    cluster.get(f"{ROOT}/nodes/node-1")
    for series in (telemetry.freshness.of(), ages(telemetry)["selector",]):
        assert series.total == 0
        assert series.counts[0] == sum(series.counts) >= 100


@given(
    st.lists(st.floats(-100, 100), max_size=60).map(sorted),
    st.floats(-100, 100),
    st.lists(st.floats(0, 100), min_size=1, max_size=9, unique=True).map(sorted),
)
def test_many_ages_are_counted_as_each_of_them_would_be(times, now, bounds):
    together, each = Observations(bounds), Observations(bounds)
    together.observe_ages(now, times)
    for time in times:
        each.observe(max(0.0, now - time))
    assert math.isclose(together.total, each.total, abs_tol=1e-9)
    assert sum(together.counts) == len(times)
    near = [abs(now - time - bound) < 1e-9 for time in times for bound in bounds]
    if not any(near):  # an age on a bound may be rounded to either side
        assert together.counts == each.counts
