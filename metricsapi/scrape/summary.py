"""The kubelet's Summary API, decoded: JSON bytes in, a `NodeSample` out.

First in one typed pass, in which the fields that we do not use cost almost nothing. One mistyped
field fails that for the whole document, so then a second, slower pass (`tolerant`) takes what is
sound, pod by pod.
"""

from __future__ import annotations

import msgspec

from metricsapi.scrape.decoding import DecodeError
from metricsapi.scrape.document import Node, Summary
from metricsapi.scrape.summary_lenient import read_tolerantly
from metricsapi.storage.types import ContainerStats, DiskStats, NodeSample

__all__ = ["DecodeError", "decode_summary"]

_decoder = msgspec.json.Decoder(Summary)


def decode_summary(
    node: str,
    body: bytes | bytearray,
    *,
    requested_at: float,
    answered_at: float,
    wall_offset: float,
) -> NodeSample:
    """Give what the body says.

    Raises DecodeError when it is no Summary or another node's. A number or time that cannot be is
    None.
    """
    try:
        summary = _decoder.decode(body)
    except (ValueError, RecursionError):
        summary = read_tolerantly(body)
    if summary.node.node_name != node:
        raise DecodeError(f"this is the Summary of node {summary.node.node_name!r}")
    return NodeSample(
        node,
        requested_at,
        answered_at,
        wall_offset,
        _node_stats(summary.node),
        summary.pods or [],
    )


def _node_stats(of: Node) -> ContainerStats:
    # A node's file system holds its logs, too.
    logs = DiskStats(0)
    return ContainerStats(of.node_name, of.start_time, of.cpu, of.memory, of.swap, of.fs, logs)
