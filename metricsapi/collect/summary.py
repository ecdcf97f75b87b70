"""The kubelet's Summary API, decoded: JSON bytes in, a `NodeSample` out."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Struct

from metricsapi.samples import ContainerSample, NodeSample, PodSample


class DecodeError(ValueError):
    """The body is not what a kubelet says; the message tells where."""


class _Cpu(Struct, gc=False, rename="camel"):
    time: datetime | None = None
    usage_nano_cores: int | None = None
    usage_core_nano_seconds: int | None = None


class _Memory(Struct, gc=False, rename="camel"):
    time: datetime | None = None
    working_set_bytes: int | None = None


class _Container(Struct, gc=False, rename="camel"):
    name: str
    start_time: datetime | None = None
    cpu: _Cpu | None = None
    memory: _Memory | None = None


class _PodRef(Struct, gc=False):
    name: str
    namespace: str
    uid: str = ""


class _Pod(Struct, gc=False, rename="camel"):
    pod_ref: _PodRef
    containers: list[_Container] | None = None


class _Node(Struct, gc=False, rename="camel"):
    node_name: str = ""
    start_time: datetime | None = None
    cpu: _Cpu | None = None
    memory: _Memory | None = None


class _Summary(Struct, gc=False):
    node: _Node
    pods: list[_Pod] | None = None


_decoder = msgspec.json.Decoder(_Summary)


def decode_summary(
    node: str,
    body: bytes | bytearray | memoryview,
    *,
    requested_at: float,
    answered_at: float,
    wall_offset: float,
) -> NodeSample:
    """Give what the body says. Raises DecodeError when it is no Summary or another node's."""
    try:
        summary = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"not a Summary: {error}") from error
    if summary.node.node_name != node:
        raise DecodeError(f"this is the Summary of node {summary.node.node_name!r}")
    whole = summary.node
    return NodeSample(
        node=node,
        requested_at=requested_at,
        answered_at=answered_at,
        wall_offset=wall_offset,
        stats=_stats(node, whole.start_time, whole.cpu, whole.memory),
        pods=[
            PodSample(
                pod.pod_ref.namespace,
                pod.pod_ref.name,
                pod.pod_ref.uid,
                [_stats(c.name, c.start_time, c.cpu, c.memory) for c in pod.containers or ()],
            )
            for pod in summary.pods or ()
        ],
    )


def _stats(
    name: str, start: datetime | None, cpu: _Cpu | None, memory: _Memory | None
) -> ContainerSample:
    return ContainerSample(
        name=name,
        start=start.timestamp() if start else None,
        cpu_time=cpu.time.timestamp() if cpu and cpu.time else None,
        cpu_counter=cpu.usage_core_nano_seconds if cpu else None,
        cpu_rate=cpu.usage_nano_cores if cpu else None,
        memory_time=memory.time.timestamp() if memory and memory.time else None,
        memory=memory.working_set_bytes if memory else None,
    )
