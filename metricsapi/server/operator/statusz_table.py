"""The tables of nodes on the page of `/statusz`.

Nodes in trouble are grouped by cause: a group says once what to do, and the rows of a large one are
folded. All other nodes are in one table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from metricsapi.server.operator.status import Status, duration
from metricsapi.telemetry.node_status import OK, TROUBLED, NodeStatus
from metricsapi.telemetry.printable import printable
from metricsapi.telemetry.troubleshooting import remedy

NOTHING = "-"
UNFOLDED = 5  # nodes: a group with more is folded
_COLUMNS = (
    ("Node", ""),
    ("State", ""),
    ("Last good scrape", ""),
    ("Usage age", ""),
    ("Took", "n"),
    ("CPU", ""),
    ("Memory", ""),
    ("Pods", "n"),
    ("Containers", "n"),
    ("Next scrape", ""),
    ("Remark", ""),
)
_TROUBLED_COLUMNS = (
    ("Node", ""),
    ("For", "wide"),
    ("Last good scrape", "wide"),
    ("Usage", "wide"),
    ("Took", "n wide"),
    ("Message", "wide"),
)


def shown(text: str) -> str:
    """Return text for HTML, on one line and without control characters: it may be foreign."""
    return escape(printable(text))


class Ages:
    """Times as ages that the script counts on; `now` is in seconds since the epoch."""

    def __init__(self, now: float) -> None:
        self.now = now

    def since(self, at: float | None, after: str = "") -> str:
        """Return the age of a moment, such as `12 s`, followed by `after`."""
        if at is None:
            return NOTHING
        text = duration(self.now - at)
        return f'<time data-at="{at:.1f}" data-after="{after}">{text}{after}</time>'

    def until(self, at: float | None) -> str:
        """Return how long it is until a moment."""
        if at is None:
            return NOTHING
        return f'<time data-until="{at:.1f}">{duration(at - self.now)}</time>'


class Shares:
    """What a full bar means: what the node may give, or else the cluster's largest usage."""

    def __init__(self, nodes: Sequence[NodeStatus]) -> None:
        self._cpu = max((node.cpu or 0 for node in nodes), default=0)
        self._memory = max((node.memory or 0 for node in nodes), default=0)
        known = any(node.cpu_allocatable for node in nodes)
        whole = "allocatable" if known else "the largest usage of a node"
        self.legend = f"bars: share of {whole}"

    def cpu(self, node: NodeStatus) -> str:
        """Return a node's CPU usage with its bar."""
        text = NOTHING if node.cpu is None else f"{node.cpu / 1e6:,.0f}m"
        return _bar(text, node.cpu, node.cpu_allocatable, self._cpu, "")

    def memory(self, node: NodeStatus) -> str:
        """Return a node's memory usage with its bar."""
        text = NOTHING if node.memory is None else f"{node.memory / 2**20:,.0f}Mi"
        return _bar(text, node.memory, node.memory_allocatable, self._memory, "mem")


def groups(status: Status, ages: Ages) -> Iterator[str]:
    """Yield the groups of nodes in trouble in pieces, at most a node in each."""
    heads = _heads(_TROUBLED_COLUMNS)
    for cause, nodes in status.causes:
        fold = "" if len(nodes) > UNFOLDED else " open"
        yield f'<details class="note bad" data-key="{shown(cause)}"{fold}>'
        yield f'{_summary(cause, nodes, ages)}<div class="wrap"><table>{heads}<tbody>'
        for node in nodes:
            yield _troubled_row(node, ages)
        yield "</tbody></table></div></details>"


def _summary(cause: str, nodes: Sequence[NodeStatus], ages: Ages) -> str:
    advice, first = remedy(cause), nodes[0]
    since = min((node.since for node in nodes if node.since is not None), default=None)
    count = f"{len(nodes):,} node{'s' if len(nodes) > 1 else ''} {first.state}"
    return (
        f'<summary><strong class="{first.state}">{count}: {shown(advice.title)}</strong> '
        f'<span class="soft">{shown(cause)}, for {ages.since(since)}</span>'
        f'<span class="fix">{shown(advice.fix)}</span></summary>'
    )


def _troubled_row(node: NodeStatus, ages: Ages) -> str:
    name, message, since = shown(node.name), shown(node.message), ages.since(node.since)
    good, sampled = _last_good(node, ages), _sampled_at(node, ages)
    usage = '<span class="failing">none is served</span>'
    if sampled is not None:
        usage = f"{ages.since(sampled, ' old')}, served for {ages.until(node.served_until)}"
    return (
        f'<tr data-key="{escape(node.name)}"><th scope="row">{name}'
        f'<span class="below">for {since}: {message} <br>Usage: {usage}</span></th>'
        f'<td class="wide" data-v="{_newest_first(node.since)}">{since}</td>'
        f'<td class="wide" data-v="{_newest_first(node.last_good)}">{good}</td>'
        f'<td class="wide" data-v="{_newest_first(sampled)}">{usage}</td>'
        f'<td class="n wide" data-v="{_number(node.duration)}">{_millis(node.duration)}</td>'
        f'<td class="why wide">{message}</td></tr>'
    )


def table(status: Status, ages: Ages, shares: Shares) -> Iterator[str]:
    """Yield the table of all other nodes in pieces, at most a node in each."""
    yield f"<table>{_heads(_COLUMNS)}<tbody>"
    for node in status.nodes:
        if node.state not in TROUBLED:
            yield _row(node, ages, shares)
    yield "</tbody></table>"


def _row(node: NodeStatus, ages: Ages, shares: Shares) -> str:
    name, sampled = shown(node.name), _sampled_at(node, ages)
    return (
        f'<tr data-key="{escape(node.name)}"><th scope="row">{name}</th>'
        f'<td class="{node.state}">{node.state}</td>'
        f'<td data-v="{_newest_first(node.last_good)}">{_last_good(node, ages)}</td>'
        f'<td data-v="{_newest_first(sampled)}">{ages.since(sampled)}</td>'
        f'<td class="n" data-v="{_number(node.duration)}">{_millis(node.duration)}</td>'
        f'<td data-v="{_number(node.cpu)}">{shares.cpu(node)}</td>'
        f'<td data-v="{_number(node.memory)}">{shares.memory(node)}</td>'
        f'<td class="n">{_count(node.pods)}</td><td class="n">{_count(node.containers)}</td>'
        f'<td data-v="{_number(node.next_scrape)}">{_next(node, ages)}</td>'
        f'<td class="why">{shown(_remark(node))}</td></tr>'
    )


def _remark(node: NodeStatus) -> str:
    if node.state == OK and node.containers == 0:
        return "answers, but lists no containers: see its container runtime"
    return node.endpoint_reason


def _heads(columns: Sequence[tuple[str, str]]) -> str:
    heads = "".join(
        f'<th scope="col" class="{kind}"><button type="button">{text}</button></th>'
        for text, kind in columns
    )
    return f"<thead><tr>{heads}</tr></thead>"


def _last_good(node: NodeStatus, ages: Ages) -> str:
    return "never" if node.last_good is None else ages.since(node.last_good, " ago")


def _next(node: NodeStatus, ages: Ages) -> str:
    """Return when a node is scraped next, and for which query if it is for one that is expected."""
    query = shown(node.expected_query)
    text = f' <span class="soft query" title="{query}">for {query}</span>' if query else ""
    return f"{ages.until(node.next_scrape)}{text}"


def _sampled_at(node: NodeStatus, ages: Ages) -> float | None:
    """Return when the usage that is served was sampled."""
    return None if node.sample_age is None else ages.now - node.sample_age


def _bar(text: str, value: int | None, allocatable: int | None, largest: int, kind: str) -> str:
    """Return an amount, its bar, and the percentage if it is known of what."""
    if value is None:
        return f'<div class="use"><span>{text}</span></div>'
    share = value / (allocatable or largest or 1)
    percent = f"<span>{share:.0%}</span>" if allocatable else ""
    meter = f'<meter class="{kind}" value="{min(share, 1):.3f}"></meter>'
    return f'<div class="use"><span>{text}</span>{meter}{percent}</div>'


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _newest_first(at: float | None) -> str:
    return "" if at is None else f"{-at:.1f}"


def _count(value: int | None) -> str:
    return "" if value is None else str(value)


def _millis(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{seconds * 1000:,.0f} ms"
