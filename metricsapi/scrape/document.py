"""The fields of a kubelet's Summary that we use, as they are named there.

Decoding checks types and bounds; the constructors, which the tolerant pass uses, do not.
"""

from __future__ import annotations

from msgspec import Struct

from metricsapi.storage.types import (
    CpuStats,
    DiskStats,
    KubeletTime,
    MemoryStats,
    PodStats,
    SwapStats,
)


class Node(Struct, gc=False, rename="camel"):
    node_name: str
    start_time: KubeletTime = None
    cpu: CpuStats | None = None
    memory: MemoryStats | None = None
    swap: SwapStats | None = None
    fs: DiskStats | None = None


class Summary(Struct, gc=False):
    node: Node
    pods: list[PodStats] | None = None
