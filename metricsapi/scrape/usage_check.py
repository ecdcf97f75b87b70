"""Checks that usage can follow from a node's response: if not, the node is not `ok`.

A counter or a rate with its time, and a working set, is what a usage needs (`storage`), each such
as can be true of the node.
"""

from __future__ import annotations

from collections.abc import Iterator

from metricsapi.storage.limits import Limits
from metricsapi.storage.rates import counter_of, has_usage
from metricsapi.storage.types import ContainerStats, NodeSample, epoch_seconds


def missing_usage(sample: NodeSample, limits: Limits) -> str:
    """Return which usage is missing from a sample; empty if it has the node's and a container's.

    A single container without usage is its pod's matter: see `storage`.
    """
    missing = []
    if sample.stats is None:
        missing.append("it lists no usage of the node itself")
    elif lacks := lacking(sample.stats, limits):
        missing.append(f"the node itself has no usable {lacks}")
    first = next(_containers(sample), None)  # which is as good as any in most answers
    if first is not None and all(lacking(each, limits) for each in _containers(sample)):
        missing.append(f"no container has usable usage: the first has no {lacking(first, limits)}")
    return "; ".join(missing)


def lacks_counters(sample: NodeSample) -> bool:
    """Return whether no stat in a sample has a CPU counter: its rates are the kubelet's own."""
    if sample.stats is not None and _has_counter(sample.stats):
        return False
    return not any(map(_has_counter, _containers(sample)))


def _containers(sample: NodeSample) -> Iterator[ContainerStats]:
    return (container for pod in sample.pods for container in pod.containers or ())


def _has_counter(stats: ContainerStats) -> bool:
    return stats.cpu is not None and counter_of(stats.cpu) is not None


def lacking(stats: ContainerStats, limits: Limits) -> str:
    """Name what usage does not follow from; empty if it does."""
    cpu, memory = stats.cpu, stats.memory
    parts = []
    if cpu is None or not has_usage(cpu, limits):
        parts.append("CPU counter or rate")
    elif epoch_seconds(cpu.time) is None:
        parts.append("time of its CPU counter")
    used = memory.working_set_bytes or 0 if memory is not None else 0
    if used > limits.memory:
        parts.append(f"memory working set: {used} bytes are more than the node's {limits.memory}")
    elif used <= 0:
        parts.append("memory working set")
    return " and no ".join(parts)
