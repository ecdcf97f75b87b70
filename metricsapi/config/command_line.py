"""Arguments and environment variables as values of flags; --help.

pflag's rules, so that a Deployment's args carry over unchanged: `--name=value`, `--name value`,
booleans bare or `--name=false`, durations `1m30s`, lists by comma and by repetition, shorthands
`-v=2`, `-v 2`, `-v2`. argparse is not used because it stops at the first mistake; here all of
them are reported together.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metricsapi.config.flags import BOOL, Flag, Kind

ENV_PREFIX = "METRICSAPI_"
_WIDTH = 100  # characters of a line of --help
# What the kubelet sets in every pod when the namespace has a Service named metricsapi.
_SERVICE_LINK = re.compile(r"^METRICSAPI_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)$")


@dataclass(frozen=True)
class Ignored:
    """A flag that is accepted without effect: its type, and why there is no effect."""

    kind: Kind
    why: str


@dataclass
class Parsed:
    """A parsed command line: values by flag name, mistakes, and notes for the log."""

    values: dict[str, Any]
    problems: list[str]
    notes: list[str]


def wants_help(args: Sequence[str]) -> bool:
    """Return whether --help or -h is among the arguments."""
    return any(arg in ("-h", "--help") for arg in args)


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ` (did you mean --x?)` for the nearest valid name, or nothing."""
    near = difflib.get_close_matches(name, list(names), 1, 0.6)
    return f" (did you mean --{near[0]}?)" if near else ""


def parse(
    argv: Sequence[str],
    environ: Mapping[str, str],
    flags: Mapping[str, Flag],
    ignored: Mapping[str, Ignored],
) -> Parsed:
    """Read arguments, then the environment for flags that no argument set.

    `ignored` are flags that are accepted without effect; each is noted once.
    """
    result = Parsed({}, [], [])
    _parse_arguments(argv, flags, ignored, result)
    _parse_environment(environ, flags, result)
    return result


def _parse_arguments(
    argv: Sequence[str],
    flags: Mapping[str, Flag],
    ignored: Mapping[str, Ignored],
    result: Parsed,
) -> None:
    shorts = {flag.short: flag for flag in flags.values() if flag.short}
    rest = iter(argv)
    for arg in rest:
        if arg == "--":  # what follows is no flag, whatever it begins with
            result.problems += map(_unexpected, rest)
        elif not arg.startswith("-") or arg == "-":
            result.problems.append(_unexpected(arg))
        else:
            name, text = _split(arg, shorts)
            _parse_flag(name, text, rest, flags, ignored, result)


def _unexpected(arg: str) -> str:
    return f"unexpected argument {arg!r}: flags begin with --"


def _parse_flag(
    name: str,
    text: str | None,
    rest: Iterator[str],
    flags: Mapping[str, Flag],
    ignored: Mapping[str, Ignored],
    result: Parsed,
) -> None:
    """Parse a flag; without `text` its value is the next argument, unless it is a boolean."""
    known = flags.get(name) or ignored.get(name)
    if known is None:
        result.problems.append(f"unknown flag: --{name}{nearest(name, [*flags, *ignored])}")
        return
    if text is None:
        text = "true" if known.kind is BOOL else next(rest, None)
    if text is None:
        result.problems.append(f"flag needs an argument: --{name}")
    elif name in flags:
        _set(result, flags[name], text, f"--{name}")
    else:
        note = f"--{name} has no effect here: {ignored[name].why}"
        if note not in result.notes:
            result.notes.append(note)


def _split(arg: str, shorts: Mapping[str, Flag]) -> tuple[str, str | None]:
    """Return a flag's long name and the text after it, None where the argument has no text."""
    name, equals, text = arg.lstrip("-").partition("=")
    if not arg.startswith("--") and name[:1] in shorts:
        flag = shorts[name[0]]
        if len(name) > 1:  # -v2, -lname=value
            return flag.name, name[1:] + equals + text
        name = flag.name
    return name, text if equals else None


def _parse_environment(
    environ: Mapping[str, str], flags: Mapping[str, Flag], result: Parsed
) -> None:
    for name, text in sorted(environ.items()):
        if not name.startswith(ENV_PREFIX) or _SERVICE_LINK.match(name):
            continue
        known = name.removeprefix(ENV_PREFIX).lower().replace("_", "-")
        if known not in flags:
            if hint := nearest(known, flags):  # other programs may use the prefix too
                result.notes.append(f"environment variable {name}: no such flag{hint}")
        elif known not in result.values:
            _set(result, flags[known], text, f"environment variable {name}")


def _set(result: Parsed, flag: Flag, text: str, source: str) -> None:
    try:
        value = flag.parse(text)
    except ValueError as error:
        result.problems.append(f"invalid value {text!r} for {source}: {error}")
        return
    if flag.kind.repeats and flag.name in result.values:
        value = result.values[flag.name] + value
    result.values[flag.name] = value


def usage(flags: Iterable[Flag]) -> str:
    """Lay out flags by group, in the format of metrics-server's --help."""
    groups: dict[str, list[Flag]] = {}
    for flag in flags:
        groups.setdefault(flag.group, []).append(flag)
    indent = " " * 10
    lines = []
    for group, members in groups.items():
        lines += ["", f"{group} flags:", ""]
        for flag in members:
            short = f"-{flag.short}, " if flag.short else "    "
            lines.append(f"  {short}--{flag.name} {flag.kind.name}".rstrip())
            value = flag.kind.format(flag.default)
            default = f" (default {value})" if value and value != "false" else ""
            lines += textwrap.wrap(
                flag.help + default, _WIDTH, initial_indent=indent, subsequent_indent=indent
            )
    return "\n".join(lines) + "\n"
