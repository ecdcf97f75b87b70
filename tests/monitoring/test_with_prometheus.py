"""A real Prometheus evaluates each expression of alerts and dashboard over a running server."""

import asyncio
import math

import pytest

from tests.monitoring.prometheus import NODES, observed
from tests.monitoring.rules import alerts, dashboard, panels
from tests.support.needs import needed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

# Alerts that the faults of the second phase make true.
TRUE_WITH_FAULTS = {
    "MetricsAPINodesFailing",
    "MetricsAPINodeFailing",
    "MetricsAPINodeWithoutContainers",
    "MetricsAPIReviewsFailing",
    "MetricsAPIErrors",
}
# Panels whose series begin with the first failure, restart or refusal.
EMPTY_WHILE_HEALTHY = {
    ("Failed scrapes by cause", "A"),
    ("Refused before they were served", "A"),
    ("Restarts of parts and of watches", "A"),
}
# Faults that no kubelet or API server can provoke: unforeseen failures of the server itself.
NEVER_PROVOKED = {("Restarts of parts and of watches", "A")}
# Whether a replica follows while the API server fails, see UNDECIDED.
EITHER_WITH_FAULTS = {("Lag of followers", "A")}
# Alerts on series that begin with the first failure.
WITHOUT_SERIES_WHILE_HEALTHY = {
    "MetricsAPIAbsent",
    "MetricsAPINodesFailing",
    "MetricsAPINodeFailing",
    "MetricsAPITaskRestarting",
    "MetricsAPIInternalError",
    "MetricsAPIErrors",
    "MetricsAPIReviewsFailing",
}


@pytest.fixture(scope="module")
def phases(tmp_path_factory):
    """What Prometheus answers: (while all is well, with faults)."""
    return asyncio.run(observed(needed("prometheus"), tmp_path_factory.mktemp("monitoring")))


@pytest.mark.parametrize("name", alerts())
def test_no_alert_is_true_while_all_is_well(phases, name):
    assert phases[0].alerts[name] == []


@pytest.mark.parametrize("name", sorted(set(alerts()) - WITHOUT_SERIES_WHILE_HEALTHY))
def test_an_alert_compares_series_that_are_there(phases, name):
    assert phases[0].operands[name]


# Whether a replica leads while the API server fails depends on how long its Lease still runs.
UNDECIDED = {"MetricsAPIManyLeaders"}


@pytest.mark.parametrize("name", sorted(set(alerts()) - UNDECIDED))
def test_alerts_are_true_with_faults_that_they_are_for(phases, name):
    assert bool(phases[1].alerts[name]) == (name in TRUE_WITH_FAULTS)


def test_alerts_name_the_replica_and_the_cause(phases):
    for labels, share in phases[1].alerts["MetricsAPINodesFailing"]:
        assert labels.keys() == {"pod", "instance"}
        assert share == 1 / NODES
    for labels, count in phases[1].alerts["MetricsAPINodeFailing"]:
        assert (labels["cause"], count) == ("refused", 1)


@pytest.mark.parametrize("key", panels(), ids=" ".join)
def test_a_panel_shows_something(phases, key):
    healthy, faulty = (phase.panels[key] for phase in phases)
    assert bool(healthy) == (key not in EMPTY_WHILE_HEALTHY)
    assert key in EITHER_WITH_FAULTS or bool(faulty) == (key not in NEVER_PROVOKED)
    for _, value in healthy + faulty:
        assert math.isfinite(value)
        assert value >= 0


def value(phase, title, letter="A", **labels):
    """The sum of what a panel shows with these labels."""
    shown = phase.panels[title, letter]
    return sum(number for series, number in shown if series.items() >= labels.items())


def test_panels_show_the_state_of_the_cluster(phases):
    healthy, faulty = phases
    assert (value(healthy, "Ready replicas"), value(healthy, "Failing nodes")) == (2, 0)
    assert value(healthy, "Leader") == 1
    assert [lag < 5 for _, lag in healthy.panels["Lag of followers", "A"]] == [True]
    assert value(healthy, "Nodes with usage") == NODES
    assert value(healthy, "Nodes without containers") == 0
    assert value(healthy, "Oldest node usage") < 60
    assert value(faulty, "Failing nodes") == 1
    assert value(faulty, "Nodes without containers") == 1
    assert value(faulty, "Nodes by state", state="failing", cause="refused") == 1
    assert value(faulty, "Failed scrapes by cause", cause="refused") > 0
    assert value(faulty, "Scrapes", success="false") > 0


def test_panels_show_what_clients_got(phases):
    healthy, faulty = phases
    assert value(healthy, "Requests", resource="nodes", code="200") > 1
    assert value(healthy, "Reviews", result="error") == 0
    assert value(faulty, "Reviews", result="error") > 0
    assert value(faulty, "Refused before they were served") > 0


def test_panels_show_the_usage_of_the_cluster(phases):
    """By node it is more than by namespace: the kubelet and the kernel are in it."""
    healthy, _ = phases
    by_node, by_namespace = value(healthy, "CPU by node"), value(healthy, "CPU by namespace")
    assert by_node >= by_namespace > 0
    # Two replicas serve the same usage, which counts once.
    assert 0.7 < value(healthy, "Memory by namespace") / healthy.memory < 1.3


def test_panels_do_not_overlap_and_have_their_data_source():
    taken = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
    assert [each["name"] for each in dashboard()["templating"]["list"]] == [
        "datasource",
        "instance",
    ]
