"""The second way to read a Summary: when one field of it is not what it should be.

One bad field costs its own pod and not the node: a number or time that cannot be counts as missing
(so the store keeps the container's last usage for a while), and a pod that cannot be told, or a
container that cannot be told, costs that whole pod.
"""

from __future__ import annotations

import json
from typing import Any

from metricsapi.scrape.decoding import LARGEST, DecodeError, whole
from metricsapi.scrape.document import Node, Summary
from metricsapi.storage.types import (
    ContainerStats,
    CpuStats,
    DiskStats,
    MemoryStats,
    PodRef,
    PodStats,
    SwapStats,
)


def read_tolerantly(body: bytes | bytearray) -> Summary:
    """Give what is sound of a Summary. Raises DecodeError when it is none, or names no node.

    The standard library's decoder also reads what Go never writes: NaN, numbers without end.
    """
    try:
        text = bytes(body).decode("utf-8", "replace")
        document = json.loads(text, parse_int=_integer)
    except RecursionError as error:
        raise DecodeError("not a Summary: it is nested too deeply") from error
    except ValueError as error:
        raise DecodeError(f"not a Summary: {error}") from error
    node = _fields(_fields(document).get("node"))
    name = node.get("nodeName")
    if not isinstance(name, str):
        raise DecodeError("not a Summary: it does not name its node (node.nodeName)")
    whole_node = _container(name, node)
    pods = _fields(document).get("pods")
    read = [_pod(pod) for pod in pods] if isinstance(pods, list) else []
    return Summary(
        Node(
            name,
            whole_node.start_time,
            whole_node.cpu,
            whole_node.memory,
            whole_node.swap,
            _disk(node.get("fs")),
        ),
        [pod for pod in read if pod is not None],
    )


def _pod(value: Any) -> PodStats | None:
    ref = _fields(_fields(value).get("podRef"))
    namespace, name, uid = ref.get("namespace"), ref.get("name"), ref.get("uid", "")
    containers = _fields(value).get("containers")
    if not (isinstance(namespace, str) and isinstance(name, str) and isinstance(uid, str)):
        return None
    if not isinstance(containers, list):
        return PodStats(PodRef(name, namespace, uid), [])
    read = []
    for one in containers:
        container = _fields(one).get("name")
        if not isinstance(container, str):
            return None
        read.append(_container(container, one))
    return PodStats(PodRef(name, namespace, uid), read)


def _container(name: str, value: Any) -> ContainerStats:
    cpu, memory, swap = (_fields(value.get(field)) for field in ("cpu", "memory", "swap"))
    return ContainerStats(
        name,
        _text(value.get("startTime")),
        CpuStats(
            _text(cpu.get("time")),
            whole(cpu.get("usageNanoCores")),
            whole(cpu.get("usageCoreNanoSeconds")),
        ),
        MemoryStats(_text(memory.get("time")), whole(memory.get("workingSetBytes"))),
        SwapStats(whole(swap.get("swapAvailableBytes")), whole(swap.get("swapUsageBytes"))),
        _disk(value.get("rootfs")),
        _disk(value.get("logs")),
    )


def _disk(value: Any) -> DiskStats:
    return DiskStats(whole(_fields(value).get("usedBytes")))


def _fields(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(digits: str) -> int | None:
    """Numbers of thousands of digits are not worth converting (Python refuses, too)."""
    return int(digits) if len(digits) <= len(str(LARGEST)) else None
