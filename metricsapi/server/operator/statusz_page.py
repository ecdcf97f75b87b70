"""The page of `/statusz`: one self-contained document, readable without its script.

Names and messages come from the cluster and are escaped. The policy lets nothing be loaded or
run but the page's own style and script, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

from metricsapi.server.operator.status import Status
from metricsapi.server.operator.statusz_table import Ages, Shares, groups, shown, table

_HERE = Path(__file__).parent
STYLE = (_HERE / "statusz.css").read_text()
SCRIPT = (_HERE / "statusz.js").read_text()


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_hash(STYLE)}'; script-src 'sha256-{_hash(SCRIPT)}'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def as_page(status: Status) -> Iterator[str]:
    """Yield the whole document in pieces, at most a node in each."""
    cluster, shares, ages = shown(status.about.cluster), Shares(status.nodes), Ages(status.now)
    yield (
        f'<!doctype html><html lang="en" data-now="{status.now:.1f}">'
        '<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>metrics-server {cluster} statusz</title><style>{STYLE}</style></head><body>"
        '<div id="lost" role="alert" hidden></div>'
        f'<header id="head">{_head(status, ages)}</header>'
        '<div class="controls"><input id="filter" type="search" placeholder="Filter nodes" '
        'aria-label="Filter nodes"><label><input id="live" type="checkbox" checked> refresh '
        f'every 5 s</label><span class="soft">{shares.legend}</span></div>'
        '<div id="groups">'
    )
    yield from groups(status, ages)
    yield '</div><div id="nodes" class="wrap">'
    yield from table(status, ages, shares)
    yield f"</div><script>{SCRIPT}</script></body></html>\n"


def _head(status: Status, ages: Ages) -> str:
    about = status.about
    state = '<span class="ok">ready</span>'
    if status.unready:
        state = '<span class="failing">not ready</span>'
    title = (
        f'<h1>metrics-server <span class="soft">{shown(about.cluster)}</span></h1>'
        f'<div class="soft">{state} · metricsapi {shown(about.version)} · up '
        f"{ages.since(about.started)} · scrapes every {about.resolution:g} s · "
        '<a href="flagz">flags</a></div>'
    )
    if status.replica is not None:
        title += f'<div class="soft">{shown(status.replica.summary)}</div>'
    parts = [title, _tiles(status, ages)]
    parts += [_note("bad", f"Not ready: {name}: {why}") for name, why in status.unready.items()]
    parts += [_note("bad", problem) for problem in status.task_problems]
    parts += [_note("warn", remark) for remark in status.remarks]
    return "".join(parts)


def _tiles(status: Status, ages: Ages) -> str:
    """Return the numbers at the top; those of trouble in red if there is any."""
    oldest = max(
        (node.sample_age for node in status.nodes if node.sample_age is not None), default=None
    )
    names = {"ok": "nodes ok", "pending": "not tried yet"}
    tiles = [
        (names.get(state, state), f"{count:,}", state if count else "")
        for state, count in status.counts.items()
    ]
    containers = sum(node.containers or 0 for node in status.nodes)
    tiles.append(("containers", f"{containers:,}", ""))
    sampled = None if oldest is None else status.now - oldest
    tiles.append(("oldest usage", ages.since(sampled), ""))
    boxes = "".join(
        f'<div class="tile"><b class="{kind}">{value}</b><span class="soft">{name}</span></div>'
        for name, value, kind in tiles
    )
    return f'<div class="tiles">{boxes}</div>'


def _note(kind: str, text: str) -> str:
    return f'<div class="note {kind}">{shown(text)}</div>'
