"""Durations in Go's syntax (time.ParseDuration, time.Duration.String), in seconds."""

from __future__ import annotations

import re

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # U+00B5, the micro sign
    "μs": 10**3,  # U+03BC, the Greek letter
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_NUMBER = r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+"
_UNIT = "|".join(_UNITS)
# Each text matches in at most one way, so matching takes time linear in its length.
_DURATION = re.compile(rf"[+-]?(?:0|(?:(?:{_NUMBER})(?:{_UNIT}))+)")
_PART = re.compile(rf"({_NUMBER})({_UNIT})")
_MAX_LENGTH = 64  # characters
_MAX_NANOSECONDS = 2**63 - 1  # Go's int64


def is_duration(text: str) -> bool:
    """Return whether `text` has the form of a duration; cheap enough for text from any client."""
    return len(text) <= _MAX_LENGTH and _DURATION.fullmatch(text) is not None


def parse_duration(text: str) -> float:
    """Return the seconds of `15s`, `1m30s`, `500ms` or `0`; raises ValueError for other text."""
    if not is_duration(text):
        raise ValueError("must be a duration with its unit, such as 15s or 1m30s")
    nanoseconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if nanoseconds > _MAX_NANOSECONDS:
        raise ValueError("must be a duration below 292 years")
    return (-nanoseconds if text.startswith("-") else nanoseconds) / 1e9


def format_duration(seconds: float) -> str:
    """Return the text of Go's time.Duration: `15s`, `1m30s`, `500ms`, `0s`."""
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
