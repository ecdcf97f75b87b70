"""`/statusz`: what the server does, for a terminal, a program and a browser.

Asked with `Accept` (text/plain, application/json, text/html) or `?format=text|json|html`. The
lines before the table are those of newer Kubernetes components' /statusz.
"""

from __future__ import annotations

import asyncio
import json
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from metricsapi.api.asgi import query_of
from metricsapi.api.render.negotiation import choose_format
from metricsapi.server.operator.statusz_page import CONTENT_SECURITY_POLICY, page
from metricsapi.telemetry.node_status import FAILING, OK, PENDING, NodeStatus
from metricsapi.telemetry.troubleshooting import remedy

NAME = "metrics-server"
WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility "
    "guarantees and is for debugging purposes only."
)


@dataclass(frozen=True, kw_only=True)
class StatusSource:
    """Where the page's content comes from. Times are seconds since the epoch."""

    version: str
    started: float
    resolution: float
    clock: Callable[[], float]
    nodes: Callable[[], Iterable[NodeStatus]]
    unready: Callable[[], Mapping[str, str]]  # failing readiness checks and why
    remarks: Callable[[], Sequence[str]] = tuple
    paths: Sequence[str] = ()


@dataclass(frozen=True)
class Status:
    """All that is shown, at one moment."""

    source: StatusSource
    now: float
    nodes: list[NodeStatus]  # failing ones first, then by name
    counts: dict[str, int]
    causes: list[tuple[str, list[NodeStatus]]]  # most frequent first
    unready: dict[str, str]
    remarks: list[str]

    @property
    def up(self) -> str:
        """How long the process has run, as Kubernetes' /statusz writes it."""
        seconds = int(self.now - self.source.started)
        return f"{seconds // 3600} hr {seconds % 3600 // 60:02} min {seconds % 60:02} sec"


def read(source: StatusSource) -> Status:
    """Ask the source now."""
    order = {FAILING: 0, PENDING: 1, OK: 2}
    nodes = sorted(source.nodes(), key=lambda row: (order.get(row.state, 0), row.name))
    counts = Counter(row.state for row in nodes)
    by_cause: dict[str, list[NodeStatus]] = {}
    for row in nodes:
        if row.state == FAILING:
            by_cause.setdefault(row.cause, []).append(row)
    return Status(
        source,
        source.clock(),
        nodes,
        {state: counts[state] for state in (OK, FAILING, PENDING)},
        sorted(by_cause.items(), key=lambda item: (-len(item[1]), item[0])),
        dict(source.unready()),
        list(source.remarks()),
    )


def statusz_route(source: StatusSource) -> Route:
    """Route of `/statusz`."""
    formats: dict[str, tuple[str, Callable[[Status], str]]] = {
        "text": ("text/plain", as_text),
        "json": ("application/json", as_json),
        "html": ("text/html", page),
    }

    async def endpoint(request: Request) -> Response:
        kinds = {name: kind for name, (kind, _) in formats.items()}
        accept = request.headers.get("accept", "")
        wanted = choose_format(query_of(request.scope), accept, kinds)
        if wanted is None:
            return Response("only text/plain, application/json and text/html are here\n", 406)
        kind, write = formats[wanted]
        # In a thread: a page of thousands of nodes takes longer than the loop may stand.
        body = await asyncio.to_thread(write, read(source))
        return Response(
            body,
            media_type=f"{kind}; charset=utf-8" if wanted == "text" else kind,
            headers={
                "Cache-Control": "no-store",
                "Content-Security-Policy": CONTENT_SECURITY_POLICY,
                "Referrer-Policy": "no-referrer",
                "Vary": "Accept",
                "X-Content-Type-Options": "nosniff",
                "X-Frame-Options": "DENY",
            },
        )

    return Route("/statusz", endpoint)


def iso(when: float | None) -> str | None:
    """RFC 3339 in whole seconds, UTC."""
    if when is None:
        return None
    return datetime.fromtimestamp(int(when), UTC).isoformat().replace("+00:00", "Z")


def as_json(status: Status) -> str:
    """Every node as a row, with what to do where it fails."""
    rows = []
    for node in status.nodes:
        row: dict[str, Any] = msgspec.to_builtins(node)
        for name in ("since", "last_attempt", "last_good"):
            row[name] = iso(row[name])
        if node.state == FAILING:
            row["what_to_do"] = remedy(node.cause).fix
        rows.append(row)
    body = {
        "kind": "Statusz",
        "component": NAME,
        "version": status.source.version,
        "startTime": iso(status.source.started),
        "upSeconds": int(status.now - status.source.started),
        "ready": not status.unready,
        "unready": status.unready,
        "remarks": status.remarks,
        "metricResolutionSeconds": status.source.resolution,
        "counts": status.counts,
        "nodes": rows,
        "paths": list(status.source.paths),
    }
    return json.dumps(body) + "\n"


def as_text(status: Status) -> str:
    """For a terminal: the head, what needs attention, one line per node."""
    source = status.source
    started = datetime.fromtimestamp(source.started, UTC)
    counts = ", ".join(f"{count} {state}" for state, count in status.counts.items())
    lines = [
        f"{NAME} statusz",
        WARNING,
        "",
        f"Started: {started:%a %b %d %H:%M:%S UTC %Y}",
        f"Up: {status.up}",
        f"Python version: {platform.python_version()}",
        f"Binary version: {source.version}",
        f"Ready: {'yes' if not status.unready else 'no'}",
        f"Nodes: {counts}",
        f"Paths: {' '.join(source.paths)}",
    ]
    lines += [f"Not ready: {name}: {_plain(why)}" for name, why in status.unready.items()]
    lines += [f"Remark: {_plain(remark)}" for remark in status.remarks]
    for cause, nodes in status.causes:
        advice = remedy(cause)
        names = ", ".join(_plain(node.name) for node in nodes[:5])
        more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
        lines += [
            "",
            f"{len(nodes)} failing, {advice.title}: {names}{more}",
            f"  {_plain(nodes[0].message)}",
            f"  What to do: {advice.fix}",
        ]
    head = ("NODE", "STATE", "LAST GOOD", "AGE", "TOOK", "CPU", "MEMORY", "PODS", "CONTAINERS")
    cells = [head, *(_cells(node) for node in status.nodes)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    table = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
    return "\n".join([*lines, "", *(line.rstrip() for line in table), ""])


def _cells(node: NodeStatus) -> tuple[str, ...]:
    return (
        _plain(node.name),
        f"{node.state}:{node.cause}" if node.cause else node.state,
        iso(node.last_good) or "never",
        "-" if node.sample_age is None else f"{node.sample_age:.1f}s",
        "-" if node.duration is None else f"{node.duration * 1000:.0f}ms",
        "-" if node.cpu is None else f"{node.cpu / 1e6:.0f}m",
        "-" if node.memory is None else f"{node.memory // 2**20}Mi",
        "-" if node.pods is None else str(node.pods),
        "-" if node.containers is None else str(node.containers),
    )


def _plain(text: str) -> str:
    """Nothing that a terminal would obey."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
