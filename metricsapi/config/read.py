"""`Settings` from arguments and environment, checked; their flags as text."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from metricsapi.config.command_line import Parsed, parse, usage
from metricsapi.config.flags import Flag, flags_of, values_of, with_values
from metricsapi.config.groups import GROUPS
from metricsapi.config.ignored_flags import IGNORED
from metricsapi.config.settings import Settings
from metricsapi.config.validation import problems, warnings


def read_settings(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[Settings, Parsed]:
    """Read flags and environment; `Parsed.problems` has every mistake, of values and of files.

    The settings hold what could be parsed, so that mistakes in values are reported together with
    mistakes in syntax; they are to be used only when there are no problems.
    """
    parsed = parse(argv, environ, flags_of(Settings), IGNORED)
    settings = with_values(Settings, parsed.values)
    parsed.problems.extend(problems(settings, parsed.values))
    parsed.notes.extend(warnings(settings, time.time(), parsed.values))
    return settings, parsed


def serve_flags() -> list[Flag]:
    """Return every flag of `serve`, in the order of --help: by group, then as declared."""
    order = {group.title: place for place, group in enumerate(GROUPS)}
    return sorted(flags_of(Settings).values(), key=lambda flag: order[flag.group])


def help_text(command: str) -> str:
    """Return what --help prints: every flag, by group."""
    head = f"Usage: {command} [flags]\n\nEach flag can also be set by an environment variable:\n"
    return (
        head
        + "--metric-resolution by METRICSAPI_METRIC_RESOLUTION, and so on; flags win.\n"
        + usage(serve_flags())
        + "\nOther flags of metrics-server are accepted without effect, and the log says so.\n"
    )


def flag_texts(settings: Settings) -> dict[str, str]:
    """Return every flag's value as its text, by name, as /flagz shows it."""
    flags = flags_of(Settings)
    return {name: flags[name].kind.format(value) for name, value in values_of(settings).items()}
