"""A node whose answer gives no usage is not `ok`."""

import json

import pytest

from metricsapi.kube.resources import Capacity
from metricsapi.scrape import usage_check
from metricsapi.scrape.decoding import Exchange, run
from metricsapi.scrape.summary import summary_steps
from metricsapi.scrape.usage_check import lacks_counters
from metricsapi.storage.limits import limits_of
from tests.scrape.test_summary import TIMES, document, pod

CPU = {"time": "2026-11-23T10:00:00Z", "usageNanoCores": 1, "usageCoreNanoSeconds": 2}
MEMORY = {"time": "2026-11-23T10:00:00Z", "workingSetBytes": 3}


def missing_usage(sample):
    """Check a sample of a node of 4 cores and 1 MiB."""
    capacity = Capacity(cpu=4 * 10**9, memory=2**20)
    return usage_check.missing_usage(sample, limits_of(capacity, sample.stats, swap=False))


def sample(cpu=CPU, memory=MEMORY, *, node=True, pods=2):
    """A Summary in which every stat, or only those of pods, have this CPU and memory."""
    value = document(*[pod(f"p{i}") for i in range(pods)])
    stats = [container for each in value["pods"] for container in each["containers"]]
    for each in [*stats, *[value["node"]] * node]:
        each.update(cpu=cpu, memory=memory)
    return run(summary_steps(json.dumps(value).encode(), Exchange("n1", **TIMES)))


def test_a_usual_answer_lacks_nothing():
    assert missing_usage(sample()) == ""
    assert missing_usage(sample(pods=0)) == ""
    assert not lacks_counters(sample())


@pytest.mark.parametrize(
    ("cpu", "memory", "named"),
    [
        (None, MEMORY, "CPU counter or rate"),
        ({}, MEMORY, "CPU counter or rate"),
        ({**CPU, "usageNanoCores": "1", "usageCoreNanoSeconds": "2"}, MEMORY, "CPU counter"),
        ({**CPU, "time": "yesterday"}, MEMORY, "time of its CPU counter"),
        ({**CPU, "time": None}, MEMORY, "time of its CPU counter"),
        ({**CPU, "usageCoreNanoSeconds": 0}, MEMORY, "CPU counter"),
        ({**CPU, "usageNanoCores": 5 * 10**9, "usageCoreNanoSeconds": None}, MEMORY, "CPU counter"),
        ({**CPU, "usageNanoCores": -1, "usageCoreNanoSeconds": 2**64}, MEMORY, "CPU counter"),
        (CPU, None, "memory working set"),
        (CPU, {**MEMORY, "workingSetBytes": 0}, "memory working set"),
        (CPU, {**MEMORY, "workingSetBytes": -1}, "memory working set"),
        (
            CPU,
            {**MEMORY, "workingSetBytes": 2**20 + 1},
            "set: 1048577 bytes are more than the node's",
        ),
        (
            CPU,
            {**MEMORY, "workingSetBytes": 2**64 - 4096},
            "bytes are more than the node's 1048576",
        ),
        (CPU, {**MEMORY, "workingSetBytes": "3"}, "memory working set"),
    ],
)
def test_what_is_missing_everywhere_is_named(cpu, memory, named):
    missing = missing_usage(sample(cpu, memory))
    assert "the node itself" in missing
    assert "no container" in missing
    assert missing.count(named) == 2


def test_what_only_the_containers_lack_is_named():
    missing = missing_usage(sample(cpu=None, node=False))
    assert "the node itself" not in missing
    assert missing.startswith("no container has usable usage")


def test_one_good_container_is_enough():
    """What the others lack is their pods' matter."""
    of = sample(cpu=None, node=False)
    good = sample().pods[0].containers[0]
    of.pods[1].containers[1] = good
    assert missing_usage(of) == ""


def test_a_kubelet_with_rates_alone_is_usable_but_lacks_counters():
    of = sample(cpu={"time": CPU["time"], "usageNanoCores": 5})
    assert missing_usage(of) == ""
    assert lacks_counters(of)
