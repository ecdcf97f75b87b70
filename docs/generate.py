"""Write the parts of docs/ that follow from the code: `make docs`; a test says if it is needed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from metricsapi.config.flags import Flag
from metricsapi.config.ignored_flags import IGNORED
from metricsapi.config.read import serve_flags
from metricsapi.telemetry import snapshot
from metricsapi.telemetry.metrics import Telemetry
from metricsapi.telemetry.series import Series
from metricsapi.telemetry.troubleshooting import REMEDIES

HERE = Path(__file__).parent
BEGIN, END = "<!-- causes: made by docs/generate.py -->\n", "<!-- end of causes -->\n"
SERIES_BEGIN, SERIES_END = "<!-- series: made by docs/generate.py -->\n", "<!-- end of series -->\n"
HEAD = """# Flags of `metricsapi serve`

Made by `make docs` from `metricsapi/config/`. `metricsapi doctor` takes the same flags.

Flags have Go's syntax, so the args of a metrics-server Deployment carry over unchanged:
`--flag=value` or `--flag value`, booleans bare or `=false`, durations such as `15s` or `1m30s`,
lists by comma or by repetition. Each flag can also be set by an environment variable, as
`METRICSAPI_METRIC_RESOLUTION=15s` for `--metric-resolution`; a flag on the command line wins.
All mistakes are reported together, with the nearest valid name.

*ours* marks flags that metrics-server does not have.
"""
IGNORED_HEAD = """
## Accepted without effect

These flags of metrics-server have nothing to steer here. They are accepted, and the log says so
once at start.

| flags | why |
|---|---|
"""
_FACTS = HERE.parent / "tests" / "config" / "data" / "metrics-server-0.9-flags.txt"
REFERENCE = set(re.findall(r"^ .*--([a-z0-9-]+)", _FACTS.read_text(), re.MULTILINE))


def flags_page() -> str:
    """Return docs/flags.md."""
    parts, group = [HEAD], ""
    for flag in serve_flags():
        if flag.group != group:
            group = flag.group
            parts.append(f"\n## {group} flags\n\n| flag | default | meaning |\n|---|---|---|\n")
        parts.append(_row(flag))
    parts.append(IGNORED_HEAD)
    reasons: dict[str, list[str]] = {}
    for name, ignored in sorted(IGNORED.items()):
        reasons.setdefault(ignored.why, []).append(f"`--{name}`")
    parts += [f"| {', '.join(names)} | {why} |\n" for why, names in reasons.items()]
    return "".join(parts)


def _row(flag: Flag) -> str:
    short = f", `-{flag.short}`" if flag.short else ""
    ours = "" if flag.name in REFERENCE else " *ours*"
    value = flag.kind.format(flag.default)
    shown = f"`{value}`" if value else ""
    meaning = flag.help.replace("|", "\\|").replace("*", "\\*")
    return f"| `--{flag.name}`{short}{ours} | {shown} | {meaning} |\n"


def troubleshooting_page(text: str) -> str:
    """Return docs/troubleshooting.md with its part about causes made anew."""
    rows = [
        f"| `{cause}` | {remedy.title} | {_escape(remedy.fix)} |\n"
        for cause, remedy in REMEDIES.items()
    ]
    table = "| cause | what it means | what to do |\n|---|---|---|\n" + "".join(rows)
    return _with_part(text, BEGIN, table, END)


def metrics_page(text: str) -> str:
    """Return docs/metrics.md with its table of all series made anew."""
    telemetry = Telemetry(CollectorRegistry(), resolution=15.0, version="")
    ours = [*telemetry.series, *snapshot.SERIES]
    known = {series.name.removesuffix("_total") for series in ours}
    theirs = [
        Series(
            family.name + ("_total" if family.type == "counter" else ""),
            "counter" if family.type == "counter" else "gauge",
            family.documentation,
            tuple(family.samples[0].labels),
        )
        for family in telemetry.registry.collect()
        if family.name not in known
    ]
    rows = [_series_row(series) for series in (*sorted(ours), *sorted(theirs))]
    head = "| series | type | labels | unit | meaning |\n|---|---|---|---|---|\n"
    return _with_part(text, SERIES_BEGIN, head + "".join(rows), SERIES_END)


def _series_row(series: Series) -> str:
    labels = ", ".join(f"`{label}`" for label in series.labels)
    unit = next((u for u in ("seconds", "bytes") if f"_{u}" in series.name), "")
    meaning = _escape(series.help.removeprefix("[ALPHA] ").rstrip("."))
    return f"| `{series.name}` | {series.type} | {labels} | {unit} | {meaning} |\n"


def _with_part(text: str, begin: str, part: str, end: str) -> str:
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return before + begin + part + end + after


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("{", "&#123;").replace("}", "&#125;")


def pages() -> dict[Path, str]:
    """Return what each generated file should hold."""
    trouble, metrics = HERE / "troubleshooting.md", HERE / "metrics.md"
    return {
        HERE / "flags.md": flags_page(),
        trouble: troubleshooting_page(trouble.read_text()),
        metrics: metrics_page(metrics.read_text()),
    }


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content)
        sys.stdout.write(f"{path.name}\n")
