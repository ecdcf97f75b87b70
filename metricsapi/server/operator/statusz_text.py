"""The text of `/statusz`, for a terminal.

The lines before the table are those of newer Kubernetes components' /statusz.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from datetime import UTC, datetime

from metricsapi.server.operator.status import NAME, WARNING, Status, duration, iso
from metricsapi.telemetry.node_status import OK, TROUBLED, NodeStatus
from metricsapi.telemetry.printable import printable
from metricsapi.telemetry.troubleshooting import remedy

_COLUMNS = (  # their heads and widths; a column is as wide as its longest cell where there is none
    ("NODE", None), ("STATE", None), ("FOR", 7), ("LAST GOOD", 20), ("AGE", 7), ("SERVED FOR", 10),
    ("TOOK", 7), ("CPU", 8), ("CPU%", 4), ("MEMORY", 9), ("MEMORY%", 7), ("PODS", 5),
    ("CONTAINERS", 10), ("NEXT", 7), ("FOR QUERY", 9),
)  # fmt: skip
_HEAD = tuple(head for head, _ in _COLUMNS)
_WIDTHS = tuple(width for _, width in _COLUMNS if width is not None)


def as_text(status: Status) -> Iterator[str]:
    """Yield the head, what needs attention, then one line per node."""
    yield "\n".join([*_facts(status), ""])
    for cause, nodes in status.causes:
        yield _group(cause, nodes, status.now)
    yield "\n"
    widths = (
        max([len(_HEAD[0]), *(len(node.name) for node in status.nodes)]),
        max([len(_HEAD[1]), *(len(_state(node)) for node in status.nodes)]),
        *_WIDTHS,
    )
    yield _line(_HEAD, widths)
    for node in status.nodes:
        yield _line(_cells(node, status.now), widths)


def _facts(status: Status) -> list[str]:
    """Return the lines before the nodes: the server, then what needs attention."""
    about = status.about
    started = datetime.fromtimestamp(about.started, UTC)
    counts = ", ".join(f"{count} {state}" for state, count in status.counts.items())
    lines = [
        f"{NAME} statusz",
        WARNING,
        "",
        f"Started: {started:%a %b %d %H:%M:%S UTC %Y}",
        f"Up: {status.up}",
        f"Python version: {platform.python_version()}",
        f"Binary version: {about.version}",
        f"Cluster: {printable(about.cluster)}",
        f"Ready: {'yes' if not status.unready else 'no'}",
        f"Nodes: {counts}",
        f"Paths: {' '.join(about.paths)}",
    ]
    if status.replica is not None:
        lines.append(f"Replica: {printable(status.replica.summary)}")
    lines += [f"Not ready: {name}: {printable(why)}" for name, why in status.unready.items()]
    lines += [f"Remark: {printable(remark)}" for remark in status.remarks]
    lines += [f"Failing: {printable(problem)}" for problem in status.task_problems]
    return lines


def _group(cause: str, nodes: list[NodeStatus], now: float) -> str:
    advice, first = remedy(cause), nodes[0]
    names = ", ".join(printable(node.name) for node in nodes[:5])
    more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
    since = min((node.since for node in nodes if node.since is not None), default=None)
    served = sum(node.served_until is not None for node in nodes)
    return (
        f"\n{len(nodes)} {first.state}, {advice.title}: {names}{more}\n"
        f"  {printable(first.message)}\n"
        f"  For {_age(since, now)}; earlier usage of {served} is still served\n"
        f"  What to do: {advice.fix}\n"
    )


def _line(cells: tuple[str, ...], widths: tuple[int, ...]) -> str:
    return "  ".join(map(str.ljust, cells, widths)).rstrip() + "\n"


def _state(node: NodeStatus) -> str:
    return f"{node.state}:{node.cause}" if node.cause else node.state


def _cells(node: NodeStatus, now: float) -> tuple[str, ...]:
    troubled = node.state in TROUBLED
    until = node.served_until if troubled else None
    return (
        printable(node.name),
        _state(node),
        _age(node.since, now) if node.state != OK else "",
        iso(node.last_good) or "never",
        "-" if node.sample_age is None else f"{node.sample_age:.1f}s",
        "" if until is None else duration(until - now),
        "-" if node.duration is None else f"{node.duration * 1000:.0f}ms",
        "-" if node.cpu is None else f"{node.cpu / 1e6:.0f}m",
        _percent(node.cpu, node.cpu_allocatable),
        "-" if node.memory is None else f"{node.memory // 2**20}Mi",
        _percent(node.memory, node.memory_allocatable),
        "-" if node.pods is None else str(node.pods),
        "-" if node.containers is None else str(node.containers),
        "-" if node.next_scrape is None else duration(node.next_scrape - now),
        printable(node.expected_query),
    )


def _age(at: float | None, now: float) -> str:
    return "-" if at is None else duration(now - at)


def _percent(value: int | None, allocatable: int | None) -> str:
    return f"{value / allocatable:.0%}" if value is not None and allocatable else "-"
