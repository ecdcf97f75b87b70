"""Checks that usage can follow from a node's response: if not, the node is not `ok`.

A counter or a rate with its time, and a working set, is what a usage needs (`storage`).
"""

from __future__ import annotations

from collections.abc import Iterator

from metricsapi.storage.types import ContainerStats, NodeSample, epoch_seconds


def missing_usage(sample: NodeSample) -> str:
    """Return which usage is missing from a sample; empty if it has the node's and a container's.

    A single container without usage is its pod's matter: see `storage`.
    """
    missing = []
    if sample.stats is None:
        missing.append("it lists no usage of the node itself")
    elif lacks := lacking(sample.stats):
        missing.append(f"the node itself has no usable {lacks}")
    first = next(_containers(sample), None)  # which is as good as any in most answers
    if first is not None and lacking(first) and all(map(lacking, _containers(sample))):
        missing.append(f"no container has usable usage: the first has no {lacking(first)}")
    return "; ".join(missing)


def lacks_counters(sample: NodeSample) -> bool:
    """Return whether no stat in a sample has a CPU counter: its rates are the kubelet's own."""
    if sample.stats is not None and _has_counter(sample.stats):
        return False
    return not any(map(_has_counter, _containers(sample)))


def _containers(sample: NodeSample) -> Iterator[ContainerStats]:
    return (container for pod in sample.pods for container in pod.containers or ())


def _has_counter(stats: ContainerStats) -> bool:
    return stats.cpu is not None and stats.cpu.usage_core_nano_seconds is not None


def lacking(stats: ContainerStats) -> str:
    """Name what usage does not follow from; empty if it does."""
    cpu, memory = stats.cpu, stats.memory
    parts = []
    if cpu is None or (cpu.usage_core_nano_seconds is None and cpu.usage_nano_cores is None):
        parts.append("CPU counter or rate")
    elif epoch_seconds(cpu.time) is None:
        parts.append("time of its CPU counter")
    if memory is None or memory.working_set_bytes is None:
        parts.append("memory working set")
    return " and no ".join(parts)
