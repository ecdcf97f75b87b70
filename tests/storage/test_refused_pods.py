"""Pods whose names the API server would not take: counted each time, named once."""

import logging
from collections import Counter

import pytest

from metricsapi.storage.refused import MOST
from metricsapi.storage.store import MetricsStore
from metricsapi.storage.types import (
    ContainerStats,
    CpuStats,
    MemoryStats,
    NodeSample,
    PodRef,
    PodStats,
)

AT = 1_795_000_000.0


def container(name="c"):
    return ContainerStats(name, AT - 900, CpuStats(AT, 10**8, 10**12), MemoryStats(AT, 2**24))


def put(store, *pods, nameless=0, node="n1"):
    listed = [PodStats(ref, [container(name)]) for ref, name in pods]
    store.put(NodeSample(node, 1.0, 1.1, container(node), listed, nameless=nameless))


@pytest.mark.parametrize(
    ("ref", "container_name"),
    [
        (PodRef("Bad", "default", "u"), "c"),
        (PodRef("", "default", "u"), "c"),
        (PodRef("p", "Name_Space", "u"), "c"),
        (PodRef("p", "default", "u" * 300), "c"),
        (PodRef("p", "default", "u"), "C"),
        (PodRef("p" * 254, "default", "u"), "c"),
    ],
)
def test_what_is_refused_is_counted_and_named_once(ref, container_name, caplog):
    caplog.set_level(logging.WARNING)
    counts = Counter()
    store = MetricsStore(max_age=60.0, withheld=lambda reason: counts.update([reason]))
    good = PodRef("good", "default", "g")
    for _ in range(3):
        put(store, (ref, container_name), (good, "c"))
    assert counts == {"name": 3}
    (record,) = caplog.records
    assert record.data["node"] == "n1"
    assert record.data["pod"] == ref.name[:253]
    assert store.pod_usage("default", "good", 2.0) is not None
    assert store.pod_usage(ref.namespace, ref.name, 2.0) is None


def test_entries_without_a_name_are_counted_and_their_node_named_once(caplog):
    caplog.set_level(logging.WARNING)
    counts = Counter()
    store = MetricsStore(max_age=60.0, withheld=lambda reason: counts.update([reason]))
    for _ in range(2):
        put(store, nameless=3)
    assert counts == {"name": 6}
    assert [record.data for record in caplog.records] == [{"node": "n1"}]


def test_a_node_that_makes_up_names_fills_neither_log_nor_memory(caplog):
    """Each answer has other names, of any length; other nodes' are still named."""
    caplog.set_level(logging.WARNING)
    counts = Counter()
    store = MetricsStore(max_age=60.0, withheld=lambda reason: counts.update([reason]))
    for i in range(3):
        put(store, *[(PodRef(f"Bad{i}-{j}" + "x" * 10_000, "default"), "c") for j in range(900)])
    put(store, (PodRef("Bad", "default"), "c"), node="n2")
    assert counts == {"name": 2701}
    assert len(caplog.records) == MOST + 1
    assert all(len(record.data["pod"]) <= 253 for record in caplog.records)
    assert caplog.records[-1].data["node"] == "n2"


@pytest.mark.parametrize("name", ["x" * 200, "workflow-" + "y" * 90 + "-1234", "a." + "z" * 100])
def test_a_long_name_is_served(name):
    """Argo's, Kubeflow's and static pods on nodes of long names are longer than a label."""
    store = MetricsStore(max_age=60.0)
    put(store, (PodRef(name, "default", "u"), "c"))
    assert store.pod_usage("default", name, 2.0) is not None
