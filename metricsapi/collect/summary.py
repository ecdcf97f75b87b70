"""The kubelet's Summary API, decoded: JSON bytes in, a `NodeSample` out.

First in one typed pass, in which the fields that we do not use cost almost nothing. One mistyped
field fails that for the whole document, so then a second, slower pass (`tolerant`) takes what is
sound, pod by pod.
"""

from __future__ import annotations

import msgspec

from metricsapi.collect.decoding import DecodeError, Seconds, are_labels, are_subdomains
from metricsapi.collect.document import Node, Summary
from metricsapi.collect.tolerant import read_tolerantly
from metricsapi.samples import ContainerStats, DiskStats, NodeSample, PodStats

__all__ = ["DecodeError", "decode_summary"]

_decoder = msgspec.json.Decoder(Summary)


def decode_summary(
    node: str,
    body: bytes | bytearray | memoryview,
    *,
    requested_at: float,
    answered_at: float,
    wall_offset: float,
) -> NodeSample:
    """Give what the body says.

    Raises DecodeError when it is no Summary or another node's. A pod with a bad name is left out;
    a number or time that cannot be is None.
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
        _well_named(summary.pods or []),
        Seconds(),
    )


def _well_named(pods: list[PodStats]) -> list[PodStats]:
    if _names_are_good(pods):
        return pods
    return [pod for pod in pods if _names_are_good([pod])]


def _names_are_good(pods: list[PodStats]) -> bool:
    # Each name once: many pods share a namespace and the names of their containers.
    labels = {pod.pod_ref.namespace for pod in pods}
    labels.update([one.name for pod in pods for one in pod.containers or ()])
    return are_labels(labels) and are_subdomains([pod.pod_ref.name for pod in pods])


def _node_stats(of: Node) -> ContainerStats:
    # A node's file system holds its logs, too.
    logs = DiskStats(0)
    return ContainerStats(of.node_name, of.start_time, of.cpu, of.memory, of.swap, of.fs, logs)
