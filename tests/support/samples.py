"""Samples as a decoder would give them, from what they are to say."""

from __future__ import annotations

from metricsapi.storage.types import (
    ContainerStats,
    CpuStats,
    DiskStats,
    KubeletTime,
    MemoryStats,
    NodeSample,
    PodRef,
    PodStats,
    SwapStats,
)


def container_stats(
    name: str,
    start: KubeletTime,
    cpu_time: KubeletTime,
    cpu_counter: int | None,
    cpu_rate: int | None,
    memory_time: KubeletTime,
    memory: int | None,
    swap: int | None = None,
    swap_available: int | None = None,
    ephemeral_storage: int | None = None,
) -> ContainerStats:
    """Return the stats of a container or node: seconds, nanocore-seconds, nanocores and bytes."""
    return ContainerStats(
        name,
        start,
        CpuStats(cpu_time, cpu_rate, cpu_counter),
        MemoryStats(memory_time, memory),
        SwapStats(swap_available, swap),
        DiskStats(ephemeral_storage),
        DiskStats(0),
    )


def node_sample(node, requested, answered, pods, *, own=None) -> NodeSample:
    """Return an answer; pods are (namespace, name, uid, containers), `own` is the node's stats."""
    listed = [
        PodStats(PodRef(name, namespace, uid), list(containers))
        for namespace, name, uid, containers in pods
    ]
    return NodeSample(node, requested, answered, own, listed)
