"""Formats the doctor's results: as text, grouped by cause, the worst last, or as JSON."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TextIO

from msgspec import Struct, to_builtins

from metricsapi.telemetry.printable import printable
from metricsapi.telemetry.troubleshooting import remedy
from metricsapi.tools.doctor.result import CLUSTER, FITNESS, NOT_REACHED, Result, Status

_MARKS = {Status.OK: "ok  ", Status.WARN: "WARN", Status.FAIL: "FAIL", Status.SKIP: "skip"}
_COLOURS = {Status.OK: "32", Status.WARN: "33", Status.FAIL: "31", Status.SKIP: "2"}
_SEVERITY = list(Status)
_NAMES = 10  # nodes of a group that are named; JSON has all of them
_WIDTH = 110  # characters of a line, beside its mark
_EXAMPLES = 2  # nodes of a group whose evidence is shown


class Group(Struct, frozen=True):
    """Results with one status, check and fix: about the cluster, or about these nodes."""

    results: list[Result]

    @property
    def first(self) -> Result:
        """A result that stands for all of them."""
        return self.results[0]

    @property
    def rank(self) -> tuple[int, bool, int]:
        """Its sort key in the report: the worst, and what concerns most nodes, last."""
        first = self.first
        cluster = first.subject == CLUSTER
        if first.check == FITNESS:
            return len(_SEVERITY), True, 0
        # What concerns the cluster concerns every node; only what is well goes from it to nodes.
        late = cluster is not (first.status is Status.OK)
        return _SEVERITY.index(first.status), late, 0 if cluster else len(self.results)


def exit_status(results: Sequence[Result]) -> int:
    """Return 1 if anything failed, else 0: warnings and skipped checks do not count."""
    return int(any(result.status is Status.FAIL for result in results))


def as_json(results: Sequence[Result]) -> str:
    """Return every result, and how many of each status, as JSON."""
    counts = Counter(result.status for result in results)
    summary = {str(status): counts[status] for status in Status}
    return json.dumps({"results": to_builtins(list(results)), "summary": summary}, indent=1) + "\n"


def as_table(results: Sequence[Result], *, colour: bool = False) -> str:
    """Return one entry per group, the worst last; a fix follows what it mends, once."""
    lines: list[str] = []
    for group in sorted(_groups(results), key=lambda group: group.rank):
        first = group.first
        lines += _wrap(f"{_mark(first.status, colour)}  ", _headline(group))
        if first.subject != CLUSTER and first.status is not Status.OK:
            for result in group.results[:_EXAMPLES]:
                lines += _wrap("         ", f"{result.subject}: {result.evidence}")
        if first.fix:
            lines += _wrap("      -> ", first.fix)
    return "\n".join([*lines, "", *_totals(results), ""])


def _groups(results: Sequence[Result]) -> Iterator[Group]:
    """Yield groups: of the cluster by check, of healthy nodes, and of nodes with one problem."""
    by_node: dict[str, list[Result]] = {}
    of_cluster: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        if result.subject == CLUSTER:
            key = (result.status, result.check, result.fix)
            of_cluster.setdefault(key, []).append(result)
        else:
            by_node.setdefault(result.subject, []).append(result)
    for own in of_cluster.values():
        yield Group(own)
    alike: dict[tuple[str, ...], list[Result]] = {}
    healthy: list[Result] = []
    for own in by_node.values():
        if all(result.status in (Status.OK, Status.SKIP) for result in own):
            payload = next((result for result in own if result.check == "payload"), own[0])
            healthy.append(payload)  # which says most about a healthy node
        for result in own:
            if result.status is not Status.OK and result.evidence != NOT_REACHED:
                skipped = result.evidence if result.status is Status.SKIP else ""
                kind = (result.status, result.check, result.cause, result.fix, skipped)
                alike.setdefault(kind, []).append(result)
    if healthy:
        yield Group(healthy)
    for group in alike.values():
        yield Group(group)


def _headline(group: Group) -> str:
    first = group.first
    if first.subject == CLUSTER:
        return f"{first.check}: {'; '.join(result.evidence for result in group.results)}"
    nodes = _names([result.subject for result in group.results])
    if first.status is Status.OK:
        return f"{nodes}: all is well, such as {first.check}: {first.evidence} ({first.subject})"
    what = f": {remedy(first.cause).title}" if first.cause else ""
    return f"{first.check}{what}: {nodes}"


def _names(nodes: list[str]) -> str:
    shown = ", ".join(nodes[:_NAMES])
    more = len(nodes) - _NAMES
    count = f"{len(nodes):,} node{'s' * (len(nodes) > 1)}"
    return f"{count}: {shown}" + (f" and {more:,} more" if more > 0 else "")


def _totals(results: Sequence[Result]) -> list[str]:
    """Count nodes by their worst result, then results by status."""
    worst: dict[str, int] = {}
    for result in results:
        if result.subject != CLUSTER:
            severity = _SEVERITY.index(result.status)
            worst[result.subject] = max(worst.get(result.subject, 0), severity)
    lines = []
    if worst:
        nodes = Counter(_SEVERITY[severity] for severity in worst.values())
        parts = [f"{nodes[status]:,} {status}" for status in Status if nodes[status]]
        lines.append(f"nodes: {', '.join(parts)}")
    counts = Counter(result.status for result in results)
    lines.append("checks: " + ", ".join(f"{counts[status]:,} {status}" for status in Status))
    return lines


def _wrap(head: str, text: str) -> list[str]:
    wrapped = textwrap.wrap(printable(text), _WIDTH, break_long_words=False, break_on_hyphens=False)
    first, *rest = wrapped or [""]
    return [head + first, *(f"         {line}" for line in rest)]


def _mark(status: Status, colour: bool) -> str:
    return f"\x1b[{_COLOURS[status]}m{_MARKS[status]}\x1b[0m" if colour else _MARKS[status]


class Progress:
    """A bar on a terminal; silent elsewhere."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream if stream.isatty() else None
        self._total = total
        self._done = 0

    def advance(self) -> None:
        """Count one more node as done."""
        self._done += 1
        if self._stream and self._total:
            filled = 30 * self._done // self._total
            bar = "#" * filled + "." * (30 - filled)
            end = "\r\x1b[K" if self._done == self._total else ""
            self._stream.write(f"\r[{bar}] {self._done}/{self._total} nodes{end}")
            self._stream.flush()
