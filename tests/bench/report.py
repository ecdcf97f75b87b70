"""The result of a benchmark as a table: a row for each number, and its ratio to the peer's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

UNITS = {
    "millicores": "millicores",
    "ms_per_scrape": "ms",
    "cpu_ms": "ms",
    "p50_ms": "ms",
    "p99_ms": "ms",
    "bytes": "bytes",
    "per_core": "a second and core",
    "resident": "MiB",
    "peak": "MiB",
    "seconds": "s",
}
ENDINGS = {"_ms": "ms", "_seconds": "s"}


def table(result: dict[str, Any]) -> str:
    """Return Markdown. `result` has, per measurement and server name, numbers by name."""
    names = result["servers"]
    head = ["what", *names, *(f"ratio to {name}" for name in names[1:])]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for what, values in _rows(result["measured"]):
        ours = values.get(names[0])
        cells = [what, *(_number(values.get(name)) for name in names)]
        for name in names[1:]:
            peer = values.get(name)
            known = ours is not None and peer
            cells.append(f"{ours / peer:.2f}" if known else "-")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _rows(measured: dict[str, dict[str, dict[str, float]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for what, by_server in measured.items():
        keys = dict.fromkeys(key for numbers in by_server.values() for key in numbers)
        for key in keys:
            unit = UNITS.get(key) or next(
                (u for end, u in ENDINGS.items() if key.endswith(end)), ""
            )
            label = key.removesuffix("_ms").removesuffix("_seconds").replace("_", " ")
            yield (
                f"{what}: {label}, {unit}" if unit else f"{what}: {label}",
                {name: numbers.get(key) for name, numbers in by_server.items()},
            )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
