"""The result as a table: a row for each case and server, with medians and worst values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

COLUMNS = (
    *("case", "server", "age: median", "p90", "changed: median", "worst"),
    *("whole step: median", "worst", "not seen", "reads", "millicores"),
)


def table(measured: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return Markdown. `measured` has, per case and server, samples and numbers by name."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|---|---|{'--:|' * (len(COLUMNS) - 2)}"]
    for case, servers in measured.items():
        for server, numbers in servers.items():
            lines.append(f"| {' | '.join([case, server, *_cells(numbers)])} |")
    return "\n".join(lines)


def _cells(numbers: Mapping[str, Any]) -> Iterator[str]:
    for name, share in (("age_seconds", 0.9), ("changed_seconds", 1.0), ("whole_seconds", 1.0)):
        values = sorted(numbers.get(name, ()))
        high = values[min(len(values) - 1, int(share * len(values)))] if values else None
        yield _number(median(values) if values else None)
        yield _number(high)
    yield _number(numbers.get("steps_not_seen_wholly"), digits=0)
    yield _number(numbers.get("reads"), digits=2)
    yield _number(numbers.get("millicores"))


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
