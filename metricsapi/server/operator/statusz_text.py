"""The text of `/statusz`, for a terminal.

The lines before the table are those of newer Kubernetes components' /statusz.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from datetime import UTC, datetime

from metricsapi.server.operator.status import NAME, WARNING, Status, iso
from metricsapi.telemetry.node_status import NodeStatus
from metricsapi.telemetry.troubleshooting import remedy

_HEAD = ("NODE", "STATE", "LAST GOOD", "AGE", "TOOK", "CPU", "MEMORY", "PODS", "CONTAINERS")
_WIDTHS = (20, 8, 7, 7, 8, 10, 5, 10)  # of what follows the name and the state


def as_text(status: Status) -> Iterator[str]:
    """Give the head, what needs attention, then one line per node."""
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
        f"Ready: {'yes' if not status.unready else 'no'}",
        f"Nodes: {counts}",
        f"Paths: {' '.join(about.paths)}",
    ]
    if status.replica is not None:
        lines.append(f"Replica: {_plain(status.replica.summary)}")
    lines += [f"Not ready: {name}: {_plain(why)}" for name, why in status.unready.items()]
    lines += [f"Remark: {_plain(remark)}" for remark in status.remarks]
    lines += [f"Failing: {_plain(problem)}" for problem in status.task_problems]
    yield "\n".join([*lines, ""])
    for cause, nodes in status.causes:
        yield _failing(cause, nodes)
    yield "\n"
    widths = (
        max([len(_HEAD[0]), *(len(node.name) for node in status.nodes)]),
        max([len(_HEAD[1]), *(len(_state(node)) for node in status.nodes)]),
        *_WIDTHS,
    )
    yield _line(_HEAD, widths)
    for node in status.nodes:
        yield _line(_cells(node), widths)


def _failing(cause: str, nodes: list[NodeStatus]) -> str:
    advice = remedy(cause)
    names = ", ".join(_plain(node.name) for node in nodes[:5])
    more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
    return (
        f"\n{len(nodes)} failing, {advice.title}: {names}{more}\n"
        f"  {_plain(nodes[0].message)}\n"
        f"  What to do: {advice.fix}\n"
    )


def _line(cells: tuple[str, ...], widths: tuple[int, ...]) -> str:
    return "  ".join(map(str.ljust, cells, widths)).rstrip() + "\n"


def _state(node: NodeStatus) -> str:
    return f"{node.state}:{node.cause}" if node.cause else node.state


def _cells(node: NodeStatus) -> tuple[str, ...]:
    return (
        _plain(node.name),
        _state(node),
        iso(node.last_good) or "never",
        "-" if node.sample_age is None else f"{node.sample_age:.1f}s",
        "-" if node.duration is None else f"{node.duration * 1000:.0f}ms",
        "-" if node.cpu is None else f"{node.cpu / 1e6:.0f}m",
        "-" if node.memory is None else f"{node.memory // 2**20}Mi",
        "-" if node.pods is None else str(node.pods),
        "-" if node.containers is None else str(node.containers),
    )


def _plain(text: str) -> str:
    """Replace what a terminal would obey."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
