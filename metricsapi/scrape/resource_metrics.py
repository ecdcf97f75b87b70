"""The kubelet's `/metrics/resource`, decoded: exposition format in, a `NodeSample` out.

Its times have milliseconds, and no rate of the kubelet's own; its start times have fractions, which
are cut off, so that a container is the same one whichever endpoint it was read from. The lines that
we use are few and written by one program, so they are found by one regular expression; others are
not looked at. There are no uids: a recreated pod is told by the start of its containers.
"""

from __future__ import annotations

import re
from math import isfinite

from metricsapi.scrape.decoding import DecodeError, whole
from metricsapi.storage.types import (
    ContainerStats,
    CpuStats,
    MemoryStats,
    NodeSample,
    PodRef,
    PodStats,
    SwapStats,
)

_STEP = 0.001
_NANO = 1e9

# group 1: metric; 2: its labels; 3: value; 4: milliseconds since the epoch
_LINE = re.compile(
    r"^((?:container|node)_(?:cpu_usage_seconds_total|memory_working_set_bytes"
    r"|start_time_seconds|swap_usage_bytes|swap_limit_bytes))"
    r"(?:\{([^}\n]*)\})? +(\S+)(?: +(\d{1,16}))?$",
    re.MULTILINE,
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")

_Key = tuple[str, str, str]  # namespace, pod, container


def decode_resource_metrics(
    node: str,
    body: bytes | bytearray,
    *,
    requested_at: float,
    answered_at: float,
    wall_offset: float,
) -> NodeSample:
    """Give what the body says; it does not name its node. Raises DecodeError when it is another's.

    A value that cannot be is None.
    """
    text = bytes(body).decode("utf-8", "replace")
    found: dict[_Key | None, ContainerStats] = {}
    seen = False
    for metric, labels, value, milliseconds in _LINE.findall(text):
        seen = True
        key = None if metric.startswith("node_") else _key(labels)
        sample = found.get(key)
        if sample is None:
            name = node if key is None else key[2]
            sample = found[key] = ContainerStats(name, None, CpuStats(), MemoryStats(), SwapStats())
        _take(sample, metric, value, milliseconds)
    if not seen:
        raise DecodeError("not the kubelet's resource metrics: there is no usage in it")
    stats = found.pop(None, None)
    return NodeSample(
        node,
        requested_at,
        answered_at,
        wall_offset,
        stats,
        _pods(found),
        time_step=_STEP,
    )


def _key(labels: str) -> _Key:
    values = {name: _ESCAPE.sub(r"\1", value) for name, value in _LABEL.findall(labels)}
    return values.get("namespace", ""), values.get("pod", ""), values.get("container", "")


def _take(stats: ContainerStats, metric: str, text: str, milliseconds: str) -> None:
    cpu, memory, swap = stats.cpu, stats.memory, stats.swap
    try:
        value = float(text)
    except ValueError:
        return
    if cpu is None or memory is None or swap is None or not isfinite(value * _NANO):
        return
    time = int(milliseconds) / 1000 if milliseconds else None
    field = metric.partition("_")[2]
    if field == "cpu_usage_seconds_total":
        cpu.usage_core_nano_seconds, cpu.time = whole(round(value * _NANO)), time
    elif field == "memory_working_set_bytes":
        memory.working_set_bytes, memory.time = whole(value), time
    elif field == "start_time_seconds":
        stats.start_time = float(int(value)) if value > 0 else None
    elif field == "swap_usage_bytes":
        swap.swap_usage_bytes = whole(value)
    else:
        swap.swap_available_bytes = whole(value)


def _pods(found: dict[_Key | None, ContainerStats]) -> list[PodStats]:
    pods: dict[tuple[str, str], list[ContainerStats]] = {}
    for key, stats in found.items():
        if key is not None:
            pods.setdefault(key[:2], []).append(stats)
    return [PodStats(PodRef(name, ns), containers) for (ns, name), containers in pods.items()]
