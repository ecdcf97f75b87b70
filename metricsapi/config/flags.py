"""Declarations of flags as fields of frozen dataclasses.

    @dataclass(frozen=True)
    class KubeletSettings:
        port: int = KUBELET.integer(
            "kubelet-port", 10250, "The port to use.", minimum=1, maximum=65535
        )

A declaration is the only place of a flag's name, type, default, range, group and help.
Dataclasses nest: a field whose default is another such dataclass contributes its flags.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from metricsapi.config.durations import format_duration, parse_duration

_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
_UNBOUNDED = float("inf")
_T = TypeVar("_T")


def parse_bool(text: str) -> bool:
    """Go's strconv.ParseBool. Raises ValueError."""
    if text not in _BOOLEANS:
        raise ValueError("must be true or false")
    return _BOOLEANS[text]


def parse_int(text: str) -> int:
    """Return a decimal integer of at most 18 digits. Raises ValueError."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError("must be a whole number")
    return int(text)


def parse_string(text: str) -> str:
    """Return text that was given as UTF-8. Raises ValueError for other bytes."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # the interpreter keeps such bytes as surrogates
            raise ValueError("must be text in UTF-8") from None
    return text


def parse_strings(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list; the empty text is the empty list."""
    text = parse_string(text)
    return tuple(part.strip() for part in text.split(",")) if text else ()


def parse_integers(text: str) -> tuple[int, ...]:
    """Return the integers of a comma-separated list. Raises ValueError."""
    return tuple(parse_int(part) for part in parse_strings(text))


def parse_path(text: str) -> Path | None:
    """Return the path of a file or directory; the empty text is none. Raises ValueError."""
    if "\0" in text:
        raise ValueError("must be a path, and a path has no NUL character")
    return Path(text) if text else None


@dataclass(frozen=True)
class Kind:
    """A flag's type: Go's name for it in --help, and how its text is parsed and written.

    Several arguments of a kind that `repeats` are joined; the file that one names with
    `must_exist` has to be there, and with `once` it may be a pipe, which can be read only once.
    """

    name: str
    parse: Callable[[str], Any]
    format: Callable[[Any], str]
    repeats: bool = False
    must_exist: bool = False
    once: bool = False


BOOL = Kind("", parse_bool, lambda value: "true" if value else "false")
INT = Kind("int", parse_int, str)
STRING = Kind("string", parse_string, str)
DURATION = Kind("duration", parse_duration, format_duration)
STRINGS = Kind("strings", parse_strings, ",".join, repeats=True)
INTEGERS = Kind("int32Slice", parse_integers, lambda value: ",".join(map(str, value)), repeats=True)
DIRECTORY = Kind("string", parse_path, lambda path: "" if path is None else str(path))
FILE = dataclasses.replace(DIRECTORY, must_exist=True)
KUBECONFIG = dataclasses.replace(FILE, once=True)


@dataclass(frozen=True)
class Flag:
    """One flag. `minimum` and `maximum` bound numbers (seconds for durations), inclusive."""

    name: str
    kind: Kind
    default: Any
    group: str
    help: str
    short: str = ""
    choices: tuple[Any, ...] = ()
    minimum: float = 0
    maximum: float = _UNBOUNDED

    def parse(self, text: str) -> Any:
        """Return the value of `text`; raises ValueError that says what it must be."""
        value = self.kind.parse(text)
        for part in value if isinstance(value, tuple) else (value,):
            if self.choices and part not in self.choices:
                choices = [str(choice) for choice in self.choices]
                near = difflib.get_close_matches(str(part), choices, 1, 0.5)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                raise ValueError(f"must be one of {', '.join(choices)}{hint}")
        return value

    def range_problem(self, value: Any) -> str | None:
        """Return what is wrong with a number outside the range, None for any other value."""
        if self.kind not in (INT, DURATION) or self.minimum <= value <= self.maximum:
            return None
        upper = f" and {self.maximum:g} at most" if self.maximum != _UNBOUNDED else ""
        lower, actual = self.kind.format(self.minimum), self.kind.format(value)
        return f"--{self.name} must be {lower} or more{upper}, not {actual}"


@dataclass(frozen=True)
class Group:
    """A heading of --help. Its methods declare dataclass fields that are flags, one per type."""

    title: str

    def boolean(self, name: str, default: bool, text: str) -> bool:
        """Declare `--name`, `--name=false`."""
        return self.declare(BOOL, name, default, text)

    def integer(
        self,
        name: str,
        default: int,
        text: str,
        *,
        short: str = "",
        minimum: int = 0,
        maximum: float = _UNBOUNDED,
    ) -> int:
        """Declare a whole number."""
        return self.declare(INT, name, default, text, short=short, minimum=minimum, maximum=maximum)

    def duration(self, name: str, default: float, text: str, *, minimum: float = 0.0) -> float:
        """Declare a duration; default and minimum are in seconds."""
        return self.declare(DURATION, name, default, text, minimum=minimum)

    def string(
        self, name: str, default: str, text: str, *, short: str = "", choices: tuple[str, ...] = ()
    ) -> str:
        """Declare a text, one of `choices` if there are any."""
        return self.declare(STRING, name, default, text, short=short, choices=choices)

    def strings(
        self, name: str, default: tuple[str, ...], text: str, *, choices: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """Declare a list, by comma and by repetition."""
        return self.declare(STRINGS, name, default, text, choices=choices)

    def integers(
        self, name: str, default: tuple[int, ...], text: str, *, choices: tuple[int, ...] = ()
    ) -> tuple[int, ...]:
        """Declare a list of whole numbers, by comma and by repetition."""
        return self.declare(INTEGERS, name, default, text, choices=choices)

    def file(self, name: str, text: str) -> Path | None:
        """Declare the path of a file that must exist; None is the default and means no file."""
        default: Path | None = None
        return self.declare(FILE, name, default, text)

    def kubeconfig(self, name: str, text: str) -> Path | None:
        """Declare the path of a kubeconfig, which is read once; None is the default."""
        default: Path | None = None
        return self.declare(KUBECONFIG, name, default, text)

    def directory(self, name: str, text: str) -> Path | None:
        """Declare the path of a directory, made when it is needed; None is the default."""
        default: Path | None = None
        return self.declare(DIRECTORY, name, default, text)

    def declare(self, kind: Kind, name: str, default: _T, text: str, **options: Any) -> _T:
        """Return a dataclass field that carries a `Flag` of any kind."""
        flag = Flag(name, kind, default, self.title, text, **options)
        return dataclasses.field(default=default, metadata={"flag": flag})


def flags_of(cls: type) -> dict[str, Flag]:
    """Return every flag that a dataclass and those nested in it declare, by name, in order.

    Raises ValueError for a name or a shorthand that is declared twice.
    """
    flags: dict[str, Flag] = {}
    for field in dataclasses.fields(cls):
        declared = [field.metadata["flag"]] if "flag" in field.metadata else []
        if dataclasses.is_dataclass(field.default):
            declared = list(flags_of(type(field.default)).values())
        for flag in declared:
            taken = {other.short for other in flags.values() if other.short}
            if flag.name in flags or flag.short in taken:
                raise ValueError(f"two declarations of --{flag.name} or -{flag.short}")
            flags[flag.name] = flag
    return flags


def with_values(cls: type[_T], values: Mapping[str, Any]) -> _T:
    """Return an instance of a dataclass of flags from values by flag name, nested ones too."""
    arguments = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # a dataclass, as flags_of
        if "flag" in field.metadata and field.metadata["flag"].name in values:
            arguments[field.name] = values[field.metadata["flag"].name]
        elif dataclasses.is_dataclass(field.default):
            arguments[field.name] = with_values(type(field.default), values)
    return cls(**arguments)


def values_of(settings: Any) -> dict[str, Any]:
    """Return the value of every flag of an instance, by flag name, in order of declaration."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if "flag" in field.metadata:
            values[field.metadata["flag"].name] = value
        elif dataclasses.is_dataclass(value):
            values |= values_of(value)
    return values
