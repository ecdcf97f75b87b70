"""Decodes the kubelet's `/metrics/resource`: exposition format in, a `NodeSample` out.

Its times have milliseconds, and it has no rates of the kubelet's own; its start times have
fractions, which are cut off, so that a container is the same whichever endpoint it was read from.
The lines that are used are few, so a regular expression looks for them, and others cost little.
There are no uids: a recreated pod shows by the start of its containers only. Without timestamps
(kwok) a value counts as read when it was requested.
"""

from __future__ import annotations

import re
from math import isfinite

from metricsapi.scrape.decoding import (
    CONTAINERS_PER_POD,
    PIECE,
    POD_CONTAINERS,
    DecodeError,
    Exchange,
    Steps,
    check_pods,
    tidy,
    whole,
)
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

# group 1: metric; 2: its labels; 3: value; 4: milliseconds since the epoch. Possessive, so that no
# line takes longer than its length.
_LINE = re.compile(
    r"^[ \t]*+((?:container|node)_(?:cpu_usage_seconds_total|memory_working_set_bytes"
    r"|start_time_seconds|swap_usage_bytes|swap_limit_bytes))"
    r'(?:[ \t]*+\{([^"}\n]*+(?:"(?:[^"\\\n]|\\.)*+"[^"}\n]*+)*+)\}[ \t]*+|[ \t]++)'
    r"(\S++)(?:[ \t]++(\S++))?+[ \t\r]*+$",
    re.MULTILINE,
)
_LABEL = re.compile(r'(\w+)[ \t]*+=[ \t]*+"((?:[^"\\]|\\.)*+)"')
_ESCAPE = re.compile(r"\\(.)")

_Key = tuple[str, str, str]  # namespace, pod, container


def resource_steps(body: bytes | bytearray, exchange: Exchange) -> Steps[NodeSample]:
    """Decode the resource metrics of a node, which they do not name.

    A value that cannot be is None. Raises DecodeError when there is no usage in it, or more pods
    than `exchange` allows or too many containers.
    """
    node, max_pods = exchange.node, exchange.max_pods
    by_key: dict[_Key | None, ContainerStats] = {}
    begin = 0
    while begin < len(body):
        end = _line_end(body, begin)
        _read_lines(body[begin:end].decode("utf-8", "replace"), exchange, by_key)
        if len(by_key) > POD_CONTAINERS + CONTAINERS_PER_POD * max_pods:
            break  # the checks below say what is too much
        begin = end
        yield
    if not by_key:
        raise DecodeError("not the kubelet's resource metrics: there is no usage in it")
    own = by_key.pop(None, None)
    pods = _pods(by_key)
    check_pods(len(pods), max_pods)
    tidy(pods, max_pods)
    return NodeSample(
        node,
        exchange.requested_at,
        exchange.answered_at,
        own,
        pods,
        time_step=_STEP,
    )


def _read_lines(text: str, exchange: Exchange, by_key: dict[_Key | None, ContainerStats]) -> None:
    """Add the metrics in some lines to the stats of the node (key None) and of containers."""
    requested_at = exchange.requested_at + exchange.wall_offset
    for metric, labels, value, milliseconds in _LINE.findall(text):
        key = None if metric.startswith("node_") else _key(labels)
        if key is not None and not (key[0] and key[1] and key[2] not in ("", "POD")):
            continue
        stats = by_key.get(key)
        if stats is None:
            name = exchange.node if key is None else key[2]
            stats = ContainerStats(name, None, CpuStats(), MemoryStats(), SwapStats())
            by_key[key] = stats
        _set(stats, metric, value, _seconds(milliseconds, requested_at))


def _line_end(body: bytes | bytearray, begin: int) -> int:
    """Return the end of the last line that begins and ends in the next piece."""
    if len(body) - begin <= PIECE:
        return len(body)
    end = body.rfind(b"\n", begin, begin + PIECE) + 1
    if not end:
        raise DecodeError(f"not the kubelet's resource metrics: a line of more than {PIECE} bytes")
    return end


def _key(labels: str) -> _Key:
    values = {name: _ESCAPE.sub(r"\1", value) for name, value in _LABEL.findall(labels)}
    return values.get("namespace", ""), values.get("pod", ""), values.get("container", "")


def _seconds(milliseconds: str, requested_at: float) -> float | None:
    """Return a timestamp in seconds; that of the request where there is none."""
    if not milliseconds:
        return requested_at
    number = _number(milliseconds)
    return None if number is None else number / 1000


def _number(text: str) -> float | None:
    if "_" in text or not text.isascii():  # which Python takes for numbers, and Prometheus does not
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value * _NANO) else None


def _set(stats: ContainerStats, metric: str, text: str, time: float | None) -> None:
    cpu, memory, swap, value = stats.cpu, stats.memory, stats.swap, _number(text)
    if cpu is None or memory is None or swap is None or value is None:
        return
    field = metric.partition("_")[2]
    if field == "cpu_usage_seconds_total":
        cpu.usage_core_nano_seconds, cpu.time = whole(round(value * _NANO)), time
    elif field == "memory_working_set_bytes":
        memory.working_set_bytes, memory.time = whole(round(value)), time
    elif field == "start_time_seconds":
        stats.start_time = float(int(value)) if value > 0 else None
    elif field == "swap_usage_bytes":
        swap.swap_usage_bytes = whole(round(value))
    else:
        swap.swap_available_bytes = whole(round(value))


def _pods(by_key: dict[_Key | None, ContainerStats]) -> list[PodStats]:
    pods: dict[tuple[str, str], list[ContainerStats]] = {}
    for key, stats in by_key.items():
        if key is not None:
            pods.setdefault(key[:2], []).append(stats)
    return [PodStats(PodRef(name, ns), containers) for (ns, name), containers in pods.items()]
