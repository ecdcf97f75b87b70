"""The recorded answers of a real kubelet: what is served against what was true."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean

import pytest

from metricsapi.storage.store import MetricsStore
from metricsapi.storage.types import epoch_seconds
from tests.storage.accuracy import KUBELET, OURS, PLAIN, errors_of, explanations, table
from tests.storage.series import SERIES, cpu_reading, read_series, stats

BURN = ("default", "burner-5fc497bccf-rxng7", "burn")


@pytest.fixture(scope="module")
def errors():
    return errors_of(SERIES, {"burn": 0.15})


def test_capped_container_is_right_from_the_summary_alone(errors):
    rates = [error.rate for error in errors[BURN][OURS]]
    assert len(rates) == 19
    assert max(map(abs, rates)) < 0.01
    assert abs(fmean(rates)) < 0.002


def test_its_window_is_the_true_one(errors):
    assert max(abs(error.length) for error in errors[BURN][OURS]) < 0.1


def test_the_methods_it_replaces_are_as_wrong_as_measured(errors):
    """If these were right, the recording would show nothing."""
    assert max(abs(error.rate) for error in errors[BURN][PLAIN]) > 0.03
    assert max(abs(error.rate) for error in errors[BURN][KUBELET]) > 0.03


def test_first_answer_is_served(errors):
    answer = next(read_series())
    store = MetricsStore(max_age=60.0)
    store.put(answer.summary)
    now = answer.summary.answered_at
    usage = store.pod_usage(*BURN[:2], now)
    assert {each.name: each.cpu for each in usage.containers} == {"burn": 148762490, "idle": 0}
    assert usage.window == 10.0
    assert store.node_usage("lab-node", now).cpu == 1526302015


def test_every_listed_pod_is_served_whole_or_not_at_all():
    """One pod is withheld once: its crashed container was back for 3 s, its rate not yet known."""
    withheld = []
    store = MetricsStore(max_age=60.0)
    for answer in read_series():
        store.put(answer.summary)
        for pod in answer.raw["summary"]["pods"]:
            ref = pod["podRef"]
            usage = store.pod_usage(ref["namespace"], ref["name"], answer.summary.answered_at)
            if usage is None:
                withheld.append(ref["name"])
                continue
            assert [each.name for each in usage.containers] == sorted(
                each["name"] for each in pod["containers"]
            )
    assert withheld == ["crasher"]


def test_node_rate_is_within_what_the_kubelet_saw():
    """The node's load changes: what is served lies between the mean and the kubelet's own rate."""
    store = MetricsStore(max_age=60.0)
    before = None
    for answer in read_series():
        store.put(answer.summary)
        exact = cpu_reading(stats(answer.resource)["", "", "lab-node"])
        if before is not None:
            mean = (exact[1] - before[1]) / (exact[0] - before[0])
            own = answer.summary.stats.cpu.usage_nano_cores
            served = store.node_usage("lab-node", answer.summary.answered_at)
            spread = 1.06 if served.window == round(served.window) else 1.0001
            assert min(mean, own) / spread <= served.cpu <= max(mean, own) * spread
        before = exact


def test_resource_metrics_keep_their_milliseconds():
    store = MetricsStore(max_age=60.0)
    served = []
    for answer in read_series():
        store.put(answer.resource)
        now = answer.resource.answered_at
        if usage := store.pod_usage(*BURN[:2], now):
            served.append(usage)
    windows = [b.timestamp - a.timestamp for a, b in pairwise(served)]
    burn = [next(each.cpu for each in usage.containers if each.name == "burn") for usage in served]
    assert len(served) == 19
    assert [usage.window for usage in served[1:]] == pytest.approx(windows, abs=0.05)
    assert fmean(burn) == pytest.approx(150e6, rel=0.002)
    assert burn == pytest.approx([150e6] * 19, rel=0.01)


def test_both_endpoints_list_the_same_containers():
    for answer in read_series():
        summary, resource = stats(answer.summary), stats(answer.resource)
        assert summary.keys() == resource.keys()
        for key in summary:
            starts = [epoch_seconds(of[key].start_time) for of in (summary, resource)]
            assert starts[0] == starts[1] or not key[0]


def test_a_container_that_is_read_at_the_other_endpoint_is_still_the_same_one():
    """Its start has another form there; begun anew, it would have no rate."""
    store, answers = MetricsStore(max_age=60.0), list(read_series())
    for sample in (answers[0].summary, answers[1].resource, answers[2].summary):
        store.put(sample)
        burn = store.pod_usage(*BURN[:2], sample.answered_at).containers[0]
        assert burn.cpu == pytest.approx(150e6, rel=0.1)


def test_every_served_rate_that_is_off_by_more_than_a_percent_is_explained(errors):
    """Those of the node whose load changed: its windows are shorter than the truth's."""
    lines = explanations(errors).splitlines()
    off = [error for of in errors.values() for error in of[OURS] if abs(error.rate) > 0.01]
    assert len(lines) == len(off) > 0
    worst = max(off, key=lambda error: abs(error.rate))
    (line,) = (each for each in lines if f"{worst.rate:+.2%}" in each)
    assert f"{-worst.length:.1f} s shorter than the truth's" in line
    assert not any("the rate itself is off" in each for each in lines)


def test_table_has_a_line_for_each_method(errors):
    lines = table(errors).splitlines()
    assert sum(line.startswith("default/burner") for line in lines) == 3
