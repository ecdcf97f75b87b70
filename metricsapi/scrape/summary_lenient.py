"""Decodes what is valid of one pod, or of the node, in a Summary with wrong fields.

A number or time that cannot be counts as missing, so that the store keeps the container's last
usage for a while; a container without a name costs itself, a pod without a name itself.
"""

from __future__ import annotations

from typing import Any

from metricsapi.kube.decoding import json_object
from metricsapi.scrape.decoding import DecodeError, text, whole
from metricsapi.storage.types import (
    ContainerStats,
    CpuStats,
    DiskStats,
    MemoryStats,
    PodRef,
    PodStats,
    SwapStats,
)


def lenient_pod(value: Any) -> PodStats | None:
    """Return what is valid of a pod's JSON value; None if nothing says which pod it is."""
    ref = json_object(json_object(value).get("podRef"))
    namespace, name, uid = ref.get("namespace"), ref.get("name"), ref.get("uid")
    if not (isinstance(namespace, str) and isinstance(name, str)):
        return None
    containers = json_object(value).get("containers")
    listed = containers if isinstance(containers, list) else []
    names = [(text(json_object(value).get("name")), value) for value in listed]
    return PodStats(
        PodRef(name, namespace, text(uid) or ""),
        [_stats(known, value) for known, value in names if known is not None],
    )


def lenient_node(value: Any) -> ContainerStats:
    """Return what is valid of a Summary's `node`. Raises DecodeError when that does not name it."""
    name = json_object(value).get("nodeName")
    if not isinstance(name, str):
        raise DecodeError("not a Summary: it does not name its node (node.nodeName)")
    stats = _stats(name, value)
    stats.rootfs = _disk(value.get("fs"))
    return stats


def _stats(name: str, value: Any) -> ContainerStats:
    cpu, memory, swap = (value.get(field) for field in ("cpu", "memory", "swap"))
    return ContainerStats(
        name,
        text(value.get("startTime")),
        CpuStats(
            text(cpu.get("time")),
            whole(cpu.get("usageNanoCores")),
            whole(cpu.get("usageCoreNanoSeconds")),
        )
        if isinstance(cpu, dict)
        else None,
        MemoryStats(text(memory.get("time")), whole(memory.get("workingSetBytes")))
        if isinstance(memory, dict)
        else None,
        SwapStats(whole(swap.get("swapAvailableBytes")), whole(swap.get("swapUsageBytes")))
        if isinstance(swap, dict)
        else None,
        _disk(value.get("rootfs")),
        _disk(value.get("logs")),
    )


def _disk(value: Any) -> DiskStats | None:
    return DiskStats(whole(value.get("usedBytes"))) if isinstance(value, dict) else None
