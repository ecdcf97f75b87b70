"""`/metrics/resource`: the whole cluster's usage for Prometheus, from what is stored already.

Names and units are those of the kubelet's own /metrics/resource, with a `node` label beside.
Counters keep the kubelet's values and each sample its own time in milliseconds, so `rate()` is
right however often it is scraped. It is sent while it is made: at 5,000 nodes the text has 90 MB.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from metricsapi.kube.slices import gather, in_slices
from metricsapi.server.operator.routes import READ
from metricsapi.storage.readings import Readings
from metricsapi.telemetry.node_status import FAILING, NodeStatus

Value = Callable[[Readings], str | None]  # value and time; None where there is none
Family = tuple[str, str, str, Value]  # name, type, help, and its value of a reading


def resource_metrics_routes(
    readings: Callable[[], Iterable[Readings]], rows: Callable[[], Iterable[NodeStatus]]
) -> list[BaseRoute]:
    """Return the route of `/metrics/resource`.

    `readings` gives the current ones of nodes and containers, `rows` a row per node.
    """
    router = APIRouter()

    @router.api_route("/metrics/resource", methods=READ)
    async def resource_metrics() -> Response:
        return StreamingResponse(
            exposition(readings(), rows()),
            headers={
                "Cache-Control": "no-cache, private",
                "Content-Type": "text/plain; version=0.0.4; charset=utf-8",
            },
        )

    return router.routes


async def exposition(
    readings: Iterable[Readings], rows: Iterable[NodeStatus]
) -> AsyncIterator[bytes]:
    """Yield the text, one family after the other as the format wants it."""
    nodes: list[Readings] = []
    containers: list[Readings] = []
    async for some in in_slices(readings):
        for reading in some:
            (containers if reading.pod else nodes).append(reading)
    statuses = await gather(rows)
    for families, members in ((_CONTAINER_FAMILIES, containers), (_NODE_FAMILIES, nodes)):
        # Apart from their readings: the garbage collector would look at each of 150,000 pairs again
        # and again, and looks at neither strings nor readings.
        labels = await gather(map(_labels, members))
        async for lines in in_slices(_lines(families, members, labels)):
            yield "".join(lines).encode()
    async for lines in in_slices(_errors(statuses)):
        yield "".join(lines).encode()


def _lines(
    families: Iterable[Family], readings: Sequence[Readings], labels: Sequence[str]
) -> Iterator[str]:
    for name, kind, text, value in families:
        head = f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
        for reading, described in zip(readings, labels, strict=True):
            shown = value(reading)
            yield "" if shown is None else f"{head}{name}{{{described}}} {shown}\n"
            head = head if shown is None else ""


def _errors(rows: Iterable[NodeStatus]) -> Iterator[str]:
    name = "resource_scrape_error"
    yield f"# HELP {name} 1 if the last scrape of the node failed, 0 otherwise\n"
    yield f"# TYPE {name} gauge\n"
    for row in rows:
        yield f'{name}{{node="{_escape(row.name)}"}} {int(row.state == FAILING)}\n'


def _labels(reading: Readings) -> str:
    if not reading.pod:
        return f'node="{_escape(reading.node)}"'
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


def _cpu(reading: Readings) -> str | None:
    if reading.cpu.counter is None:
        return None
    whole, nanos = divmod(reading.cpu.counter, 10**9)
    return f"{whole}.{nanos:09} {_millis(reading.cpu.at.exact)}"


def _memory(reading: Readings) -> str:
    return f"{reading.working_set} {_millis(reading.working_set_at.time)}"


def _swap(reading: Readings) -> str | None:
    return (
        None if reading.swap is None else f"{reading.swap} {_millis(reading.working_set_at.time)}"
    )


def _start(reading: Readings) -> str | None:
    return None if reading.start is None else repr(reading.start)


_CPU = "Cumulative cpu time consumed by the {} in core-seconds"
_MEMORY = "Current working set of the {} in bytes"
_SWAP = "Current swap usage of the {} in bytes. Reported only on nodes that have swap"
_CONTAINER_FAMILIES: tuple[Family, ...] = (
    ("container_cpu_usage_seconds_total", "counter", _CPU.format("container"), _cpu),
    ("container_memory_working_set_bytes", "gauge", _MEMORY.format("container"), _memory),
    ("container_swap_usage_bytes", "gauge", _SWAP.format("container"), _swap),
    (
        "container_start_time_seconds",
        "gauge",
        "Start time of the container since unix epoch in seconds",
        _start,
    ),
)
_NODE_FAMILIES: tuple[Family, ...] = (
    ("node_cpu_usage_seconds_total", "counter", _CPU.format("node"), _cpu),
    ("node_memory_working_set_bytes", "gauge", _MEMORY.format("node"), _memory),
    ("node_swap_usage_bytes", "gauge", _SWAP.format("node"), _swap),
)
