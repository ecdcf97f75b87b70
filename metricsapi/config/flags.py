"""Command-line flags in Go's syntax, as fields of a frozen dataclass.

pflag's rules, so that a Deployment's args carry over unchanged: `--name=value`, `--name value`,
booleans bare or `--name=false`, durations `1m30s`, lists by comma and by repetition, shorthands
`-v=2`, `-v 2`, `-v2`. argparse is not used because it stops at the first mistake; here all of
them are reported together.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import durationpy

ENV_PREFIX = "METRICSAPI_"
# What the kubelet sets in every pod when the namespace has a Service named metricsapi.
_SERVICE_LINK = re.compile(r"^METRICSAPI_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)$")
_DURATION = re.compile(r"[+-]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)")
_LONGEST_DURATION = 64  # characters
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def parse_bool(text: str) -> bool:
    """Go's strconv.ParseBool."""
    if text not in _BOOLEANS:
        raise ValueError("must be true or false")
    return _BOOLEANS[text]


def parse_int(text: str) -> int:
    """A decimal integer."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError("must be a whole number")
    return int(text)


def is_duration(text: str) -> bool:
    """Tell whether Go's time.ParseDuration would take this; requests say it too, so at no cost.

    Each text matches in one way at most, so that none takes longer than its length.
    """
    return len(text) <= _LONGEST_DURATION and _DURATION.fullmatch(text) is not None


def parse_duration(text: str) -> float:
    """Go's time.ParseDuration, in seconds: `15s`, `1m30s`, `500ms`, `0`."""
    if not is_duration(text):
        raise ValueError("must be a duration with its unit, such as 15s or 1m30s")
    try:
        return float(durationpy.from_str(text.removeprefix("+")).total_seconds())
    except (durationpy.DurationError, OverflowError) as error:
        raise ValueError("must be a duration with its unit, such as 15s or 1m30s") from error


def format_duration(seconds: float) -> str:
    """The text of Go's time.Duration: `15s`, `1m30s`, `500ms`, `0s`."""
    nanos = round(seconds * 1e9)
    if nanos == 0:
        return "0s"
    sign, nanos = ("-", -nanos) if nanos < 0 else ("", nanos)
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if nanos < size * 1000 and size < 10**9:
            return f"{sign}{nanos / size:g}{unit}"
    minutes, rest = divmod(nanos, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1e9:.9f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def parse_strings(text: str) -> tuple[str, ...]:
    """A list by comma; the empty text is the empty list."""
    return tuple(part.strip() for part in text.split(",")) if text else ()


@dataclasses.dataclass(frozen=True)
class Kind:
    """A flag's type: Go's name for it in --help, and how its text is read and written."""

    name: str
    parse: Callable[[str], Any]
    format: Callable[[Any], str]
    repeats: bool = False


@dataclasses.dataclass(frozen=True)
class Ignored:
    """A flag that is read and forgotten: its type, and why it has no effect."""

    kind: Kind
    why: str


BOOL = Kind("", parse_bool, lambda value: "true" if value else "false")
INT = Kind("int", parse_int, str)
STRING = Kind("string", str, str)
DURATION = Kind("duration", parse_duration, format_duration)
STRINGS = Kind("strings", parse_strings, ",".join, repeats=True)


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag: `group` and `help` for people, `short` its one-letter name if it has one."""

    name: str
    kind: Kind
    group: str
    help: str
    short: str = ""
    choices: tuple[str, ...] = ()

    @property
    def env(self) -> str:
        return ENV_PREFIX + self.name.upper().replace("-", "_")

    def read(self, text: str) -> Any:
        """Return the value that `text` stands for; raises ValueError saying what it must be."""
        value = self.kind.parse(text)
        for part in value if isinstance(value, tuple) else (value,):
            if self.choices and part not in self.choices:
                near = difflib.get_close_matches(str(part), self.choices, 1, 0.5)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                raise ValueError(f"must be one of {', '.join(self.choices)}{hint}")
        return value


def flag(
    kind: Kind,
    default: Any,
    group: str,
    text: str,
    *,
    short: str = "",
    choices: tuple[str, ...] = (),
) -> Any:
    """Return a dataclass field that is also a flag; its name is the field's, with dashes."""
    meta = {"kind": kind, "group": group, "help": text, "short": short, "choices": choices}
    return dataclasses.field(default=default, metadata=meta)


def flags_of(cls: type) -> dict[str, Flag]:
    """Every flag of a dataclass whose fields were made by `flag`, by name, in order."""
    found = {}
    for field in dataclasses.fields(cls):
        name = field.name.replace("_", "-")
        found[name] = Flag(name, **field.metadata)
    return found


@dataclasses.dataclass
class Parsed:
    """What was given: values by flag name, mistakes, and what deserves one line in the log."""

    values: dict[str, Any]
    problems: list[str]
    notes: list[str]


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
    _read_arguments(list(argv), flags, ignored, result)
    for name, text in sorted(environ.items()):
        if not name.startswith(ENV_PREFIX) or _SERVICE_LINK.match(name):
            continue
        known = name.removeprefix(ENV_PREFIX).lower().replace("_", "-")
        if known not in flags:
            if hint := nearest(known, flags):  # other programs may use the prefix too
                result.notes.append(f"environment variable {name}: no such flag{hint}")
        elif known not in result.values:
            _set(result, flags[known], text, f"environment variable {name}")
    return result


def _read_arguments(
    args: list[str], flags: Mapping[str, Flag], ignored: Mapping[str, Ignored], result: Parsed
) -> None:
    shorts = {flag.short: flag for flag in flags.values() if flag.short}
    noted: set[str] = set()
    rest = iter(args)
    for arg in rest:
        if not arg.startswith("-") or arg == "-":
            result.problems.append(f"unexpected argument {arg!r}: flags begin with --")
            continue
        name, equals, text = arg.lstrip("-").partition("=")
        if not arg.startswith("--") and name[:1] in shorts:
            short = shorts[name[0]]
            if len(name) > 1:
                equals, text = "=", (name[1:] + equals + text)
            name = short.name
        known = flags.get(name) or ignored.get(name)
        if known is None:
            result.problems.append(f"unknown flag: --{name}{nearest(name, [*flags, *ignored])}")
            continue
        if not equals:
            text = "true" if known.kind is BOOL else next(rest, "\0")
        if text == "\0":
            result.problems.append(f"flag needs an argument: --{name}")
        elif name in flags:
            _set(result, flags[name], text, f"--{name}")
        elif name not in noted:
            noted.add(name)
            result.notes.append(f"--{name} has no effect here: {ignored[name].why}")


def _set(result: Parsed, flag: Flag, text: str, source: str) -> None:
    try:
        value = flag.read(text)
    except ValueError as error:
        result.problems.append(f"invalid value {text!r} for {source}: {error}")
        return
    if flag.kind.repeats and flag.name in result.values:
        value = result.values[flag.name] + value
    result.values[flag.name] = value


def usage(flags: Iterable[Flag], defaults: Mapping[str, Any], width: int = 100) -> str:
    """Lay out flags by group, as metrics-server's --help does."""
    groups: dict[str, list[Flag]] = {}
    for flag in flags:
        groups.setdefault(flag.group, []).append(flag)
    lines = []
    for group, members in groups.items():
        lines += ["", f"{group} flags:", ""]
        for flag in members:
            short = f"-{flag.short}, " if flag.short else "    "
            lines.append(f"  {short}--{flag.name} {flag.kind.name}".rstrip())
            value = flag.kind.format(defaults[flag.name])
            default = f" (default {value})" if value and value != "false" else ""
            lines += textwrap.wrap(
                flag.help + default, width, initial_indent=" " * 10, subsequent_indent=" " * 10
            )
    return "\n".join(lines) + "\n"
