"""`/metrics/resource`: the whole cluster's usage for Prometheus, from what is held already.

Names and units are those of the kubelet's own /metrics/resource, with a `node` label beside.
Counters keep the kubelet's values and each sample its own time in milliseconds, so `rate()` is
right however often it is scraped. Written in pieces: a large cluster never holds up the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from metricsapi.storage.types import Reading
from metricsapi.telemetry.node_status import FAILING, NodeStatus

PIECE = 500  # series between two turns of the event loop

Labelled = tuple[str, Reading]
Value = Callable[[Reading], str | None]


def resource_metrics_route(
    readings: Callable[[], Iterable[Reading]], rows: Callable[[], Iterable[NodeStatus]]
) -> Route:
    """Route of `/metrics/resource`; `readings` gives what is current, nodes and containers."""

    async def endpoint(_: Request) -> Response:
        return StreamingResponse(
            exposition(readings(), rows()),
            headers={
                "Cache-Control": "no-cache, private",
                "Content-Type": "text/plain; version=0.0.4; charset=utf-8",
            },
        )

    return Route("/metrics/resource", endpoint)


async def exposition(
    readings: Iterable[Reading], rows: Iterable[NodeStatus]
) -> AsyncIterator[bytes]:
    """Yield the text, one family after the other as the format wants it."""
    nodes: list[Labelled] = []
    containers: list[Labelled] = []
    for count, reading in enumerate(readings):
        if reading.pod:
            containers.append((_container_labels(reading), reading))
        else:
            nodes.append((f'node="{_escape(reading.node)}"', reading))
        if count % PIECE == PIECE - 1:
            await asyncio.sleep(0)
    for name, kind, text, value in _FAMILIES:
        members = containers if name.startswith("container_") else nodes
        async for piece in _family(name, kind, text, members, value):
            yield piece
    yield _errors(rows)


async def _family(
    name: str, kind: str, text: str, members: list[Labelled], value: Value
) -> AsyncIterator[bytes]:
    head = f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
    for begin in range(0, len(members), PIECE):
        lines = [
            f"{name}{{{labels}}} {shown}\n"
            for labels, reading in members[begin : begin + PIECE]
            if (shown := value(reading)) is not None
        ]
        if lines:
            yield (head + "".join(lines)).encode()
            head = ""
        await asyncio.sleep(0)


def _errors(rows: Iterable[NodeStatus]) -> bytes:
    name = "resource_scrape_error"
    lines = [
        f"# HELP {name} 1 if the last read of the node failed, 0 otherwise\n",
        f"# TYPE {name} gauge\n",
        *(f'{name}{{node="{_escape(r.name)}"}} {int(r.state == FAILING)}\n' for r in rows),
    ]
    return "".join(lines).encode()


def _container_labels(reading: Reading) -> str:
    return (
        f'container="{_escape(reading.name)}",namespace="{_escape(reading.namespace)}",'
        f'node="{_escape(reading.node)}",pod="{_escape(reading.pod)}"'
    )


def _escape(text: str) -> str:
    if text.isalnum():
        return text
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _millis(seconds: float) -> int:
    return round(seconds * 1000)


def _cpu(reading: Reading) -> str:
    whole, nanos = divmod(reading.cpu_counter, 10**9)
    return f"{whole}.{nanos:09} {_millis(reading.cpu_time)}"


def _memory(reading: Reading) -> str:
    return f"{reading.memory} {_millis(reading.memory_time)}"


def _swap(reading: Reading) -> str | None:
    return None if reading.swap is None else f"{reading.swap} {_millis(reading.memory_time)}"


def _start(reading: Reading) -> str | None:
    return None if reading.start is None else repr(reading.start)


_CPU = "Cumulative cpu time consumed by the {} in core-seconds"
_MEMORY = "Current working set of the {} in bytes"
_SWAP = "Current swap usage of the {} in bytes. Reported only on nodes that have swap"
_FAMILIES: tuple[tuple[str, str, str, Value], ...] = (
    ("container_cpu_usage_seconds_total", "counter", _CPU.format("container"), _cpu),
    ("container_memory_working_set_bytes", "gauge", _MEMORY.format("container"), _memory),
    ("container_swap_usage_bytes", "gauge", _SWAP.format("container"), _swap),
    (
        "container_start_time_seconds",
        "gauge",
        "Start time of the container since unix epoch in seconds",
        _start,
    ),
    ("node_cpu_usage_seconds_total", "counter", _CPU.format("node"), _cpu),
    ("node_memory_working_set_bytes", "gauge", _MEMORY.format("node"), _memory),
    ("node_swap_usage_bytes", "gauge", _SWAP.format("node"), _swap),
)
