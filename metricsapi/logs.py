"""Logs: one line per event that matters, as text or as JSON; nothing in them is unescaped.

A record is an event's name and its data: `LOG.info("node failed", extra={"data": {...}})`.
`-v` works as klog's: 0 is info and worse, 2 adds every request, 4 every scrape. Time is UTC.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

LOG = logging.getLogger("metricsapi")
_LETTERS = {logging.DEBUG: "D", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E"}


def _data(record: logging.LogRecord) -> dict[str, Any]:
    data = dict(getattr(record, "data", None) or {})
    if record.exc_info and record.exc_info[1] is not None:
        data["error"] = repr(record.exc_info[1])
        data["traceback"] = logging.Formatter().formatException(record.exc_info)
    return data


def _value(value: object) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, int | float):
        return json.dumps(value)
    return json.dumps(value if isinstance(value, str | list | tuple | Mapping) else str(value))


class TextFormatter(logging.Formatter):
    """klog's structured text: `I1123 18:06:40.123456 collect] "node failed" node="a"`."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        letter = _LETTERS.get(record.levelno, "E")
        head = f"{letter}{when:%m%d %H:%M:%S.%f} {record.name}]"
        pairs = (f"{_key(key)}={_value(value)}" for key, value in _data(record).items())
        return " ".join([head, json.dumps(record.getMessage()), *pairs])


class JSONFormatter(logging.Formatter):
    """One JSON object per line: ts, level, logger, msg, then the event's data."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        line = {
            "ts": when.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        for key, value in _data(record).items():
            line[key if key not in line else f"data.{key}"] = value
        return json.dumps(line, default=str)


def _key(key: str) -> str:
    return "".join(char if char.isalnum() and char.isascii() else "_" for char in key)


def configure(logging_format: str, verbosity: int, stream: TextIO | None = None) -> None:
    """Send the logs of this process to `stream` (stderr) as `text` or `json`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JSONFormatter() if logging_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    LOG.setLevel(logging.DEBUG if verbosity >= 2 else logging.INFO)
