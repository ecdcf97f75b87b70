"""Decodes the kubelet's Summary API: JSON bytes in, a `NodeSample` out.

Fast path: one typed pass over the whole body, in which the fields that are not used cost almost
nothing. One mistyped field fails that pass for the whole body, and a large body would block the
event loop; then the body is decoded pod by pod (`summary_pieces`), and only a damaged pod is
looked at field by field (`summary_lenient`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from metricsapi.scrape.decoding import DecodeError, Exchange, Steps, check_pods, tidy
from metricsapi.scrape.summary_pieces import read_pieces
from metricsapi.storage.types import (
    ContainerStats,
    CpuStats,
    DiskStats,
    KubeletTime,
    MemoryStats,
    NodeSample,
    PodStats,
    SwapStats,
)

AT_ONCE = 512 * 1024  # bytes of a body that are decoded without a pause: some 3 ms


class Node(Struct, gc=False, rename="camel"):
    """The Summary's `node`, as far as it is used."""

    node_name: str
    start_time: KubeletTime = None
    cpu: CpuStats | None = None
    memory: MemoryStats | None = None
    swap: SwapStats | None = None
    fs: DiskStats | None = None


class Summary(Struct, gc=False):
    """The Summary, as far as it is used."""

    node: Node
    pods: list[PodStats] | None = None


_decoder = msgspec.json.Decoder(Summary)


def summary_steps(
    body: bytes | bytearray, exchange: Exchange, *, disks: bool = False
) -> Steps[NodeSample]:
    """Decode a Summary.

    Numbers and times that cannot be are None. Without `disks` file systems are left out, which some
    kubelets list although they are asked for CPU and memory only. Raises DecodeError when it is no
    Summary, another node's, or has more pods than `exchange` allows or too many containers.
    """
    node, max_pods = exchange.node, exchange.max_pods
    stats, listed = _at_once(body) or (yield from read_pieces(body, max_pods))
    if stats.name != node:
        raise DecodeError(f"this is the Summary of node {stats.name[:253]!r}")
    check_pods(len(listed), max_pods)
    pods = [pod for pod in listed if pod is not None]
    tidy(pods, max_pods, disks=disks)
    if disks:
        stats.logs = DiskStats(0)  # the node's file system holds its logs, too
    else:
        stats.rootfs = None
    return NodeSample(
        node,
        exchange.requested_at,
        exchange.answered_at,
        stats,
        pods,
        nameless=len(listed) - len(pods),
    )


def _at_once(body: bytes | bytearray) -> tuple[ContainerStats, Sequence[PodStats | None]] | None:
    """Decode a body of usual size in one typed pass; None if that is not possible."""
    if len(body) > AT_ONCE:
        return None
    try:
        summary = _decoder.decode(body)
    except (ValueError, RecursionError):
        return None
    of = summary.node
    stats = ContainerStats(of.node_name, of.start_time, of.cpu, of.memory, of.swap, of.fs)
    return stats, summary.pods or []
