"""Draw docs/img from the results of benchmarks in docs/benchmarks: `make pictures`.

Each picture is drawn for a light and for a dark page, as SVG with text as paths, so that it looks
the same everywhere; the same results give the same bytes with the same version of matplotlib.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DOCS = Path(__file__).parent
# What results call servers.
NAMES = {
    "prefetch": "metricsapi",
    "--prefetch=false": "metricsapi --prefetch=false",
    "peer": "metrics-server",
    "ours": "metricsapi",
}
EVENTS = {
    "changed_seconds": "Replicas begin to change",
    "whole_seconds": "The HPA shows the whole step",
}
ROW = 1.5  # the height of a histogram's row: its highest bar is 1, above it is text
PROBLEM = 1


@dataclass(frozen=True)
class Theme:
    """Colours for one kind of page; those of servers are from Okabe and Ito's palette."""

    suffix: str
    page: str
    text: str
    faint: str
    servers: tuple[str, ...]  # of NAMES


LIGHT = Theme("", "#ffffff", "#1f2328", "#d1d9e0", ("#0072b2", "#8c959f", "#d55e00"))
DARK = Theme("-dark", "#0d1117", "#f0f6fc", "#30363d", ("#56b4e9", "#768390", "#e69f00"))


@dataclass(frozen=True)
class Panel:
    """A number over the number of nodes: where results of `make bench` have it."""

    title: str
    unit: str
    measurement: str
    key: str


PANELS = (
    Panel("CPU while scraping", "millicores", "scraping alone", "millicores"),
    Panel("HPA query of 100 pods, p99", "ms", "HPA query, 100 matches, protobuf", "p99_ms"),
    Panel("Resident memory", "MiB", "memory", "resident"),
)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make pictures", description=__doc__)
    parser.add_argument("--results", type=Path, default=DOCS / "benchmarks", help="*.json")
    parser.add_argument("--out", type=Path, default=DOCS / "img", help="where the SVGs go")
    parser.add_argument("--check", action="store_true", help="only compare with what is there")
    options = parser.parse_args(argv)
    try:
        drawn = dict(pictures(_read(options.results)))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return PROBLEM
    old = [
        name
        for name, svg in drawn.items()
        if not (options.out / name).is_file() or (options.out / name).read_bytes() != svg
    ]
    for name in old:
        if options.check:
            print(f"{options.out / name} is not current: make pictures", file=sys.stderr)
        else:
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / name).write_bytes(drawn[name])
            print(options.out / name)
    return PROBLEM if options.check and old else 0


def _read(folder: Path) -> list[dict[str, Any]]:
    """Read the results in a folder; raises OSError, or ValueError for a file that is no result."""
    results = []
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if not isinstance(result, dict) or not result.keys() & {"measured", "controller"}:
            raise ValueError(f"{path} is no result of `make bench` or `make react`")
        results.append(result)
    if not results:
        raise ValueError(f"{folder} has no results: OUT={folder}/1000.json make bench NODES=1000")
    return results


def pictures(results: Sequence[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the SVG of each picture that the results have numbers for."""
    sizes = sorted((each for each in results if "servers" in each), key=lambda each: each["nodes"])
    reactions = [each for each in results if "servers" not in each]
    for theme in (LIGHT, DARK):
        if sizes:
            yield f"scale{theme.suffix}.svg", _svg(theme, (9.6, 3.5), _scale, sizes)
        if reactions:
            yield f"react{theme.suffix}.svg", _svg(theme, (9.6, 3.2), _react, reactions[-1])


def _svg(
    theme: Theme,
    size: tuple[float, float],
    draw: Callable[[Figure, Theme, Any], None],
    results: Any,
) -> bytes:
    style: Any = {
        "svg.fonttype": "path",
        "svg.hashsalt": "metricsapi",  # ids follow from it and not from a random number
        "font.family": "DejaVu Sans",  # a part of matplotlib
        "font.size": 9.5,
        "text.color": theme.text,
        "axes.labelcolor": theme.text,
        "axes.edgecolor": theme.faint,
        "axes.facecolor": theme.page,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "grid.color": theme.faint,
        "grid.linewidth": 0.6,
        "xtick.color": theme.text,
        "ytick.color": theme.text,
        "figure.facecolor": theme.page,
        "figure.constrained_layout.use": True,
    }
    with mpl.rc_context(style):
        figure = Figure(size)
        draw(figure, theme, results)
        svg = io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return svg.getvalue()


def _scale(figure: Figure, theme: Theme, results: Sequence[dict[str, Any]]) -> None:
    """Draw each panel with both axes logarithmic, the value at each point."""
    nodes = [each["nodes"] for each in results]
    for panel, axes in zip(PANELS, figure.subplots(1, len(PANELS)), strict=True):
        axes.set(xscale="log", yscale="log", title=f"{panel.title}, {panel.unit}", xlabel="nodes")
        axes.set_xticks(nodes, [f"{count:,}" for count in nodes])
        axes.minorticks_off()
        axes.set_axisbelow(True)
        axes.grid(axis="y")
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.tick_params(length=0)
        lines = _lines(panel, results)
        highest = _highest(lines)
        for name, values in lines.items():
            colour = theme.servers[0 if name == results[0]["servers"][0] else -1]
            _line(axes, name, values, colour, above=name == highest)
        axes.margins(x=0.1, y=0.22)


def _lines(panel: Panel, results: Sequence[dict[str, Any]]) -> dict[str, dict[int, float]]:
    """Return a panel's values by server and number of nodes."""
    lines: dict[str, dict[int, float]] = {}
    for result in results:
        for server, numbers in result["measured"].get(panel.measurement, {}).items():
            if panel.key in numbers:
                lines.setdefault(server, {})[result["nodes"]] = numbers[panel.key]
    return lines


def _highest(lines: dict[str, dict[int, float]]) -> str:
    """Name the server with the highest values at the numbers of nodes that all servers have."""
    common = set.intersection(*map(set, lines.values()))
    return max(lines, key=lambda name: sum(lines[name][nodes] for nodes in common))


def _line(axes: Axes, name: str, values: dict[int, float], colour: str, *, above: bool) -> None:
    marker = "s" if above else "o"
    axes.plot(list(values), list(values.values()), color=colour, marker=marker, linewidth=2)
    for count, value in values.items():
        text = f"{value:,.0f}" if value >= 10 else f"{value:#.2g}"
        _near(
            axes, (count, value), text, (-4, 6) if above else (5, -7), colour, "center", above=above
        )
    at = list(values.items())[-1 if above else min(1, len(values) - 1)]
    offset, side = ((10, 21), "right") if above else ((-8, -21), "left")
    _near(axes, at, NAMES.get(name, name), offset, colour, side, above=above, bold=True)


def _near(
    axes: Axes,
    at: tuple[float, float],
    text: str,
    offset: tuple[float, float],
    colour: str,
    side: str,
    *,
    above: bool,
    bold: bool = False,
) -> None:
    axes.annotate(
        text,
        at,
        offset,
        textcoords="offset points",
        color=colour,
        ha=side,
        va="bottom" if above else "top",
        fontsize=9.5 if bold else 8.5,
        fontweight="bold" if bold else "normal",
    )


def _react(figure: Figure, theme: Theme, result: dict[str, Any]) -> None:
    """Draw a column for each event, in it a histogram of its seconds for each server.

    It is of the real controller's first case where that was measured, else of the simulated HPAs'.
    """
    measured = next(iter((result.get("controller") or result["measured"]).values()))
    columns = figure.subplots(1, len(EVENTS), sharex=True, sharey=True)
    for axes, (event, title) in zip(columns, EVENTS.items(), strict=True):
        axes.set(title=title, xlabel="seconds after the load step", yticks=[])
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)
        axes.set_axisbelow(True)
        axes.grid(axis="x")
        for row, (name, numbers) in enumerate(reversed(measured.items())):
            colour = theme.servers[list(NAMES).index(name)]
            _distribution(axes, name, numbers[event], colour, row)
        axes.set_ylim(0, len(measured) * ROW)
    columns[0].set_xlim(left=0)


def _distribution(axes: Axes, name: str, seconds: Sequence[float], colour: str, row: int) -> None:
    """Draw a histogram with bins of a second in a row of its own, from below, and its median."""
    if not seconds:
        raise ValueError(f"no step of the load was seen with {name}: STEPS=4 make react")
    bottom, counts = row * ROW, Counter(map(int, seconds))
    heights = [count / max(counts.values()) for count in counts.values()]
    axes.bar(list(counts), heights, 0.92, bottom, align="edge", color=colour)
    median, most = statistics.median(seconds), max(seconds)
    axes.plot([median] * 2, [bottom, bottom + 1.04], color=axes.xaxis.label.get_color(), lw=1.5)
    label = f"{NAMES[name]}: median {median:.1f} s, longest {most:.1f} s"
    axes.text(0.3, bottom + 1.16, label, fontsize=8.5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
