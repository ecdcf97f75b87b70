"""Answers of kubelets 1.19 to 1.35 that other projects published: all that they say is served.

They lie beside the repository and not in it. What can be served follows here from their JSON and
text alone, by other code than the product's.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

import pytest

from metricsapi.storage.store import MetricsStore
from tests.support.decoding import decode_resource_metrics, decode_summary
from tests.support.paths import ROOT

FOLDER = ROOT.parent / "shared" / "recorded" / "public"
PERIOD = 15.0
CORES = 0.125  # that everything uses after the recorded answer

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"the recordings are not there: {FOLDER}"
)


def files(suffix):
    return sorted(FOLDER.glob(f"*{suffix}")) if FOLDER.is_dir() else []


def seconds(text):
    return datetime.fromisoformat(text).timestamp()


def cpu(stats):
    return stats.get("cpu") or {}


def memory(stats):
    return (stats.get("memory") or {}).get("workingSetBytes")


def zero(stats):
    return not cpu(stats).get("usageCoreNanoSeconds") and not memory(stats)


def running(containers):
    """All but finished init containers, which started first and have nothing but zeros."""
    starts = [seconds(each["startTime"]) for each in containers if not zero(each)]
    return [
        each
        for each in containers
        if not (zero(each) and starts and seconds(each["startTime"]) < min(starts))
    ]


def first_rate(stats):
    """The rate in nanocores that a first answer determines; None if it determines none."""
    rate, counter = cpu(stats).get("usageNanoCores"), cpu(stats).get("usageCoreNanoSeconds")
    if not counter or not memory(stats) or rate is None:
        return None
    age = seconds(cpu(stats)["time"]) - seconds(stats["startTime"])
    if rate == 0 and age < 120 and counter / max(age, 1.0) > 1e6:
        return None  # it may have been read once only
    return rate


def put(store, recorded, at):
    node = recorded["node"]["nodeName"]
    body = json.dumps(recorded).encode()
    times = {"requested_at": at, "answered_at": at + 0.05, "wall_offset": 1.7e9}
    store.put(decode_summary(node, body, **times))
    return at + 0.05


def later(stats, by):
    """The same stats `by` seconds later, at a steady rate of `CORES`."""
    moved = {**stats, "cpu": {**cpu(stats)}, "memory": {**(stats.get("memory") or {})}}
    if "time" not in moved["cpu"] or zero(stats):
        return moved
    when = datetime.fromisoformat(moved["cpu"]["time"]) + timedelta(seconds=by)
    text = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    moved["cpu"] |= {"time": text, "usageNanoCores": int(CORES * 1e9)}
    moved["cpu"]["usageCoreNanoSeconds"] += int(by * CORES * 1e9)
    moved["memory"]["time"] = text
    return moved


@pytest.mark.parametrize("path", files(".json"), ids=lambda path: path.stem)
def test_a_first_answer_is_served_as_far_as_it_determines_usage(path):
    recorded = json.loads(path.read_text())
    store = MetricsStore(max_age=60.0)
    now = put(store, recorded, 100.0)
    node = recorded["node"]
    usage = store.node_usage(node["nodeName"], now)
    assert (usage and usage.cpu) == first_rate(node)
    assert usage is None or usage.memory == memory(node)
    for pod in recorded["pods"]:
        ref, containers = pod["podRef"], running(pod.get("containers") or [])
        usage = store.pod_usage(ref["namespace"], ref["name"], now)
        rates = {each["name"]: first_rate(each) for each in containers}
        if not containers or None in rates.values():
            assert usage is None
            continue
        assert {each.name: each.cpu for each in usage.containers} == rates
        assert {each.name: each.memory for each in usage.containers} == {
            each["name"]: memory(each) for each in containers
        }


@pytest.mark.parametrize("path", files(".json"), ids=lambda path: path.stem)
def test_after_the_second_answer_everything_that_runs_is_served_whole(path):
    recorded = json.loads(path.read_text())
    store = MetricsStore(max_age=60.0)
    put(store, recorded, 100.0)
    again = {"node": later(recorded["node"], PERIOD)}
    again["pods"] = [
        {**pod, "containers": [later(each, PERIOD) for each in pod.get("containers") or []]}
        for pod in recorded["pods"]
    ]
    now = put(store, again, 100.0 + PERIOD)
    usage = store.node_usage(recorded["node"]["nodeName"], now)
    assert (usage is None) == zero(recorded["node"])
    for pod in again["pods"]:
        ref, containers = pod["podRef"], running(pod["containers"])
        usage = store.pod_usage(ref["namespace"], ref["name"], now)
        if not containers:
            assert usage is None
            continue
        assert {each.name for each in usage.containers} == {each["name"] for each in containers}
        for each in usage.containers:
            assert each.cpu == pytest.approx(CORES * 1e9, rel=0.01)


def test_two_answers_of_one_node_70_s_apart_give_the_mean_between_them():
    first, second = (json.loads((FOLDER / f"aks-{i}.json").read_text()) for i in (1, 2))
    store = MetricsStore(max_age=60.0)
    put(store, first, 100.0)
    now = put(store, second, 170.0)
    before = {
        (pod["podRef"]["name"], each["name"]): each
        for pod in first["pods"]
        for each in pod["containers"]
    }
    compared = 0
    for pod in second["pods"]:
        ref = pod["podRef"]
        usage = store.pod_usage(ref["namespace"], ref["name"], now)
        named = {each["name"]: each for each in pod["containers"]}
        for each in usage.containers:
            old, new = before[ref["name"], each.name], named[each.name]
            grown = cpu(new)["usageCoreNanoSeconds"] - cpu(old)["usageCoreNanoSeconds"]
            length = seconds(cpu(new)["time"]) - seconds(cpu(old)["time"])
            mean, own = grown / length, cpu(new)["usageNanoCores"]
            assert min(mean, own) * 0.97 <= each.cpu <= max(mean, own) * 1.03
            compared += 1
    assert compared >= 18


LINE = re.compile(r"^container_cpu_usage_seconds_total\{(.*?)\} (\S+)(?: (\d+))?$", re.MULTILINE)


@pytest.mark.parametrize("path", files(".txt"), ids=lambda path: path.stem)
def test_expositions_are_served_whole_after_the_second_answer(path):
    """The second has each counter and time moved on by 15 s."""
    text = path.read_text()
    series = {
        tuple(sorted(re.findall(r'(\w+)="([^"]*)"', labels))) for labels, _, _ in LINE.findall(text)
    }
    assert series

    def moved(match):
        labels, value, stamp = match.groups()
        stamp = f" {int(stamp) + int(PERIOD * 1000)}" if stamp else ""
        return f"container_cpu_usage_seconds_total{{{labels}}} {float(value) + 3}{stamp}"

    store = MetricsStore(max_age=60.0)
    for at, body in ((100.0, text), (100.0 + PERIOD, LINE.sub(moved, text))):
        times = {"requested_at": at, "answered_at": at + 0.05, "wall_offset": 1.7e9}
        store.put(decode_resource_metrics("n", body.encode(), **times))
    for labels in map(dict, series):
        usage = store.pod_usage(labels["namespace"], labels["pod"], 100.1 + PERIOD)
        named = {each.name: each for each in usage.containers}
        assert named[labels["container"]].cpu == pytest.approx(3e9 / PERIOD, rel=0.01)
