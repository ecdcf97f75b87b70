"""The page of `/statusz`: one self-contained document, readable without its script.

Names and messages come from the cluster and are escaped. The policy lets nothing be loaded or
run but the page's own style and script, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from pathlib import Path

from metricsapi.server.operator.status import Status
from metricsapi.telemetry.node_status import TROUBLED, NodeStatus
from metricsapi.telemetry.troubleshooting import remedy

NOTHING = "-"
_HERE = Path(__file__).parent
STYLE = (_HERE / "statusz.css").read_text()
SCRIPT = (_HERE / "statusz.js").read_text()


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_hash(STYLE)}'; script-src 'sha256-{_hash(SCRIPT)}'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_COLUMNS = (
    ("Node", ""),
    ("State", ""),
    ("Last good read", ""),
    ("Usage age", "n"),
    ("Read took", "n"),
    ("CPU", ""),
    ("Memory", ""),
    ("Pods", "n"),
    ("Containers", "n"),
    ("Cause and what to do", ""),
)


def as_page(status: Status) -> Iterator[str]:
    """Give the whole document in pieces, at most a node in each."""
    heads = "".join(
        f'<th scope="col"{_class(kind)}><button type="button">{text}</button></th>'
        for text, kind in _COLUMNS
    )
    scale = _Scale(status.nodes)
    yield (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>metrics-server statusz</title><style>{STYLE}</style></head><body>"
        f'<header id="head">{_head(status)}</header>'
        '<div class="bar-row"><input id="filter" type="search" placeholder="Filter nodes" '
        'aria-label="Filter nodes"><label><input id="live" type="checkbox" checked '
        'class="box"> refresh every 5 s</label><span id="state" class="failing" '
        f'role="status"></span><span class="soft">{scale.legend}</span></div>'
        f'<div id="body" class="wrap"><table><thead><tr>{heads}</tr></thead><tbody>'
    )
    for node in status.nodes:
        yield _row(node, status.now, scale)
    yield f"</tbody></table></div><script>{SCRIPT}</script></body></html>\n"


def _head(status: Status) -> str:
    about, counts = status.about, status.counts
    ages = [node.sample_age for node in status.nodes if node.sample_age is not None]
    containers = sum(node.containers or 0 for node in status.nodes)
    tiles = [
        ("nodes read", f'<b class="ok">{counts["ok"]}</b>'),
        ("failing", f"<b{_class('failing' if counts['failing'] else '')}>{counts['failing']}</b>"),
        ("not tried yet", f"<b>{counts['pending']}</b>"),
        ("containers", f"<b>{containers:,}</b>"),
        ("oldest usage", f"<b>{_seconds(max(ages, default=None))}</b>"),
    ]
    ready = (
        '<span class="ok">ready</span>'
        if not status.unready
        else '<span class="failing">not ready</span>'
    )
    boxes = "".join(
        f'<div class="tile">{value}<span class="soft">{name}</span></div>' for name, value in tiles
    )
    title = (
        f'<h1>metrics-server</h1><div class="soft">{ready} · metricsapi '
        f"{escape(about.version)} · up {status.up} · reads every {about.resolution:g} s · "
        '<a href="flagz">flags</a></div>'
    )
    parts = [title, f'<div class="tiles">{boxes}</div>']
    parts += [
        f'<div class="note">Not ready: {escape(name)}: {escape(why)}</div>'
        for name, why in status.unready.items()
    ]
    parts += [f'<div class="note">{escape(problem)}</div>' for problem in status.task_problems]
    parts += [f'<div class="note warn">{escape(remark)}</div>' for remark in status.remarks]
    for cause, nodes in status.causes:
        advice = remedy(cause)
        names = ", ".join(escape(node.name) for node in nodes[:5])
        more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
        parts.append(
            f'<div class="note"><p><strong>{len(nodes)} failing: {escape(advice.title)}</strong> '
            f'<span class="soft">{names}{more}</span></p><p>{escape(advice.fix)}</p></div>'
        )
    return "".join(parts)


class _Scale:
    """What a full bar means: what the node may give, or else the cluster's largest usage."""

    def __init__(self, nodes: Sequence[NodeStatus]) -> None:
        self._cpu = max((node.cpu or 0 for node in nodes), default=0)
        self._memory = max((node.memory or 0 for node in nodes), default=0)
        known = any(node.cpu_allocatable for node in nodes)
        self.legend = f"bars: share of {'allocatable' if known else 'the largest node usage'}"

    def cpu(self, node: NodeStatus) -> float:
        return (node.cpu or 0) / (node.cpu_allocatable or self._cpu or 1)

    def memory(self, node: NodeStatus) -> float:
        return (node.memory or 0) / (node.memory_allocatable or self._memory or 1)


def _row(node: NodeStatus, now: float, scale: _Scale) -> str:
    since = None if node.last_good is None else now - node.last_good
    good = "never" if since is None else f"{_seconds(since)} ago"
    cpu = NOTHING if node.cpu is None else f"{node.cpu / 1e6:,.0f}m"
    memory = NOTHING if node.memory is None else f"{node.memory / 2**20:,.0f}Mi"
    why = ""
    if node.state in TROUBLED:
        why = f"{escape(node.message)}<br><span class=soft>{escape(remedy(node.cause).fix)}</span>"
    elif node.state == "ok" and node.containers == 0:
        why = "answers, but lists no containers: see its container runtime"
    return (
        f"<tr><td>{escape(node.name)}</td>"
        f'<td class="{node.state}" data-v="{node.state}">{node.state}</td>'
        f"<td data-v={_number(since)}>{good}</td>"
        f"<td class=n data-v={_number(node.sample_age)}>{_seconds(node.sample_age)}</td>"
        f"<td class=n data-v={_number(node.duration)}>{_millis(node.duration)}</td>"
        f"<td data-v={_number(node.cpu)}>{_bar(cpu, scale.cpu(node), '')}</td>"
        f"<td data-v={_number(node.memory)}>{_bar(memory, scale.memory(node), 'mem')}</td>"
        f"<td class=n>{_count(node.pods)}</td><td class=n>{_count(node.containers)}</td>"
        f"<td class=why>{why}</td></tr>"
    )


def _bar(text: str, share: float, kind: str) -> str:
    meter = f"<meter{_class(kind)} value={min(share, 1):.3f}>{share:.0%}</meter>"
    return f"<div class=use><span>{text}</span>{meter if text != NOTHING else ''}</div>"


@cache
def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _number(value: float | None) -> str:
    return '""' if value is None else f"{value:.3f}"


def _count(value: int | None) -> str:
    return "" if value is None else str(value)


def _millis(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{seconds * 1000:,.0f} ms"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
