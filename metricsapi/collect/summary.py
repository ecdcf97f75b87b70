"""The kubelet's Summary API, decoded: JSON bytes in, a `NodeSample` out.

First in one typed pass, in which the fields that we do not use cost almost nothing. One mistyped
field fails that for the whole document, so then a second, slower pass (`tolerant`) takes what is
sound, pod by pod.
"""

from __future__ import annotations

import msgspec

from metricsapi.collect.decoding import DecodeError, Seconds, are_labels, are_subdomains
from metricsapi.collect.document import Container, Cpu, Disk, Memory, Node, Pod, Summary, Swap
from metricsapi.collect.tolerant import read_tolerantly
from metricsapi.samples import ContainerSample, NodeSample, PodSample

__all__ = ["DecodeError", "decode_summary"]

_decoder = msgspec.json.Decoder(Summary)

_NO_CPU, _NO_MEMORY, _NO_SWAP, _NO_DISK = Cpu(), Memory(), Swap(), Disk()


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
    pods = _well_named(summary.pods or [])
    seconds = Seconds()
    return NodeSample(
        node,
        requested_at,
        answered_at,
        wall_offset,
        _node_stats(summary.node, seconds),
        [
            PodSample(
                pod.pod_ref.namespace,
                pod.pod_ref.name,
                pod.pod_ref.uid,
                [_stats(one, seconds) for one in pod.containers or ()],
            )
            for pod in pods
        ],
    )


def _well_named(pods: list[Pod]) -> list[Pod]:
    if _names_are_good(pods):
        return pods
    return [pod for pod in pods if _names_are_good([pod])]


def _names_are_good(pods: list[Pod]) -> bool:
    labels = [pod.pod_ref.namespace for pod in pods]
    labels += [one.name for pod in pods for one in pod.containers or ()]
    return are_labels(labels) and are_subdomains([pod.pod_ref.name for pod in pods])


def _stats(of: Container, seconds: Seconds) -> ContainerSample:
    cpu = of.cpu or _NO_CPU
    memory = of.memory or _NO_MEMORY
    swap = of.swap or _NO_SWAP
    disk = None
    if of.rootfs is not None and of.logs is not None:
        rootfs, logs = of.rootfs.used_bytes, of.logs.used_bytes
        disk = rootfs + logs if rootfs is not None and logs is not None else None
    return ContainerSample(
        of.name,
        seconds[of.start_time],
        seconds[cpu.time],
        cpu.usage_core_nano_seconds,
        cpu.usage_nano_cores,
        seconds[memory.time],
        memory.working_set_bytes,
        swap.swap_usage_bytes,
        swap.swap_available_bytes,
        disk,
    )


def _node_stats(of: Node, seconds: Seconds) -> ContainerSample:
    sample = _stats(Container(of.node_name, of.start_time, of.cpu, of.memory, of.swap), seconds)
    sample.ephemeral_storage = (of.fs or _NO_DISK).used_bytes
    return sample
