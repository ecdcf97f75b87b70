"""Results of scrapes as replicas send them: a sample's pods apart from the rest.

A follower needs the rest at once: the node's own stats, and what the leader learned of its clock.
The pods are nearly all of the bytes, and wait as they came until somebody asks for them
(`storage.backlog`). They are encoded as rows, without the names that fields have in JSON, and the
few times of an answer are listed once: a third of the bytes, at a third of the CPU of compressing
them.

A result is encoded once, by the replica that scraped, for every replica that ever sends or keeps
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta, Struct

from metricsapi.kube.errors import UNDECODABLE
from metricsapi.server.replicas.messages import Packed, ProtocolError, is_of_unknown_type
from metricsapi.storage.types import (
    ContainerStats,
    CpuStats,
    DiskStats,
    EncodedPods,
    KubeletTime,
    Located,
    MemoryStats,
    NodeSample,
    PodRef,
    PodStats,
    SwapStats,
)

NOTHING = -1  # in place of the number of a time: the answer has no such stats
MOST_NAMELESS = 2**16  # each is counted; a response with more pods than that is a failure
NodeName = Annotated[str, Meta(max_length=253)]  # as Kubernetes allows
IMPOSSIBLE = -1  # in place of a number of more than 64 bits, which is as impossible


class Sample(Struct, tag=True):
    """A scrape that succeeded: a `NodeSample` without its pods, and `EncodedPods.listed`."""

    node: NodeName
    requested_at: float
    answered_at: float
    stats: ContainerStats | None
    listed: int
    time_step: float = 1.0
    nameless: Annotated[int, Meta(ge=0, le=MOST_NAMELESS)] = 0
    unusable: str = ""
    located: Located | None = None


class Failed(Struct, tag=True):
    """A scrape that failed, and `ended_at` when; `cause` is one of `scrape.errors.Cause`."""

    node: NodeName
    cause: str
    message: str
    ended_at: float


class Row(Struct, array_like=True, gc=False):
    """One container. Times are numbers in the list of times. Later versions add fields at the end.

    A swap or a disk of which the kubelet gave no number is left out.
    """

    name: str
    started: int
    cpu_time: int
    cpu_rate: int | None
    cpu_counter: int | None
    memory_time: int
    working_set: int | None
    swap: int | None
    swap_available: int | None
    rootfs: int | None
    logs: int | None


class PodRows(Struct, array_like=True, gc=False):
    """One pod. Later versions add fields at the end."""

    name: str
    namespace: str
    uid: str
    containers: list[Row]


class Pods(Struct, array_like=True, gc=False):
    """The times of an answer, and its pods."""

    times: list[KubeletTime]
    pods: list[PodRows]


_encoder = msgspec.msgpack.Encoder()
_result_decoder: msgspec.msgpack.Decoder[Sample | Failed] = msgspec.msgpack.Decoder(Sample | Failed)
_pods_decoder = msgspec.msgpack.Decoder(Pods)
_TYPES = frozenset(kind.__name__ for kind in get_args(Sample | Failed))


def pack(result: NodeSample | Failed) -> Packed:
    """Return a result as it is sent: with `IMPOSSIBLE` and `?` in place of what cannot be."""
    if isinstance(result, Failed):
        return Packed(_encoded(result))
    sample = Sample(
        result.node,
        result.requested_at,
        result.answered_at,
        result.stats,
        # Of whole 64 bits, and the same in whatever order a kubelet lists them.
        hash(
            frozenset(
                [
                    (pod.pod_ref, of.name, of.start_time)
                    for pod in result.pods
                    for of in pod.containers or ()
                ]
            )
        ),
        result.time_step,
        result.nameless,
        result.unusable,
        result.located,
    )
    return Packed(_encoded(sample), pods=_encoded(_rows(result.pods)))


def unpack(packed: Packed) -> NodeSample | Failed | None:
    """Return the result; None for a type that this version does not know. Raises ProtocolError."""
    try:
        result = _result_decoder.decode(packed.data)
    except UNDECODABLE as error:
        if is_of_unknown_type(packed.data, _TYPES):
            return None
        raise ProtocolError(f"a result that cannot be decoded: {error}") from error
    if isinstance(result, Failed):
        return result
    return NodeSample(
        result.node,
        result.requested_at,
        result.answered_at,
        result.stats,
        EncodedPods(packed.pods, result.listed, _pods_of),
        result.time_step,
        result.nameless,
        result.unusable,
        result.located,
    )


def _encoded(value: Any) -> bytes:
    try:
        return _encoder.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return _encoder.encode(_encodable(msgspec.to_builtins(value)))


def _encodable(value: Any) -> Any:
    """Return built-in values without what a kubelet may have sent and no message can have."""
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else IMPOSSIBLE
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, list | tuple):
        return [_encodable(element) for element in value]
    if isinstance(value, dict):
        return {key: _encodable(element) for key, element in value.items()}
    return value


def _rows(pods: Iterable[PodStats]) -> tuple[list[KubeletTime], list[object]]:
    """Return `Pods` as tuples, which take less time to make. Each scrape goes through here."""
    times: dict[KubeletTime, int] = {}
    number = times.setdefault
    listed: list[object] = []
    for pod in pods:
        rows = []
        for of in pod.containers or ():
            cpu, memory, swap, rootfs, logs = of.cpu, of.memory, of.swap, of.rootfs, of.logs
            rows.append(
                (
                    of.name,
                    number(of.start_time, len(times)),
                    NOTHING if cpu is None else number(cpu.time, len(times)),
                    None if cpu is None else cpu.usage_nano_cores,
                    None if cpu is None else cpu.usage_core_nano_seconds,
                    NOTHING if memory is None else number(memory.time, len(times)),
                    None if memory is None else memory.working_set_bytes,
                    None if swap is None else swap.swap_usage_bytes,
                    None if swap is None else swap.swap_available_bytes,
                    None if rootfs is None else rootfs.used_bytes,
                    None if logs is None else logs.used_bytes,
                )
            )
        ref = pod.pod_ref
        listed.append((ref.name, ref.namespace, ref.uid, rows))
    return list(times), listed


def _pods_of(data: bytes) -> list[PodStats]:
    """Decode the pods of an answer. Raises ProtocolError."""
    try:
        decoded = _pods_decoder.decode(data)
        return [
            PodStats(
                PodRef(of.name, of.namespace, of.uid),
                [_container(row, decoded.times) for row in of.containers],
            )
            for of in decoded.pods
        ]
    except (*UNDECODABLE, IndexError) as error:
        raise ProtocolError(f"pods that cannot be decoded: {error}") from error


def _container(of: Row, times: Sequence[KubeletTime]) -> ContainerStats:
    cpu = memory = swap = rootfs = logs = None
    if of.cpu_time >= 0:
        cpu = CpuStats(times[of.cpu_time], of.cpu_rate, of.cpu_counter)
    if of.memory_time >= 0:
        memory = MemoryStats(times[of.memory_time], of.working_set)
    if of.swap is not None or of.swap_available is not None:
        swap = SwapStats(of.swap_available, of.swap)
    if of.rootfs is not None:
        rootfs = DiskStats(of.rootfs)
    if of.logs is not None:
        logs = DiskStats(of.logs)
    return ContainerStats(of.name, times[of.started], cpu, memory, swap, rootfs, logs)
