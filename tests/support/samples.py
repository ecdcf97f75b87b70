"""Samples as a decoder would give them, from what they are to say."""

from __future__ import annotations

from metricsapi.storage.types import (
    ContainerSample,
    ContainerStats,
    CpuStats,
    DiskStats,
    MemoryStats,
    NodeSample,
    PodRef,
    PodStats,
    SwapStats,
)


def stats(of: ContainerSample) -> ContainerStats:
    """Give the stats that are read as this sample."""
    return ContainerStats(
        of.name,
        of.start,
        CpuStats(of.cpu_time, of.cpu_rate, of.cpu_counter),
        MemoryStats(of.memory_time, of.memory),
        SwapStats(of.swap_available, of.swap),
        DiskStats(of.ephemeral_storage),
        DiskStats(0),
    )


def node_sample(node, requested, answered, wall_offset, pods, *, own=None) -> NodeSample:
    """Give an answer; pods are (namespace, name, uid, samples of containers), `own` is a sample."""
    listed = [
        PodStats(PodRef(name, namespace, uid), [stats(one) for one in containers])
        for namespace, name, uid, containers in pods
    ]
    told = stats(own) if own else None
    return NodeSample(node, requested, answered, wall_offset, told, listed)
