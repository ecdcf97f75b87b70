"""Logs: one line per event that matters, as text or as JSON; nothing in them is unescaped.

A record is an event's name and its data: `LOG.info("node failed", extra={"data": {...}})`.
`-v` works as klog's: 0 is info and worse, 2 adds every request, 4 every scrape. Time is UTC. What
is logged while a request is served carries the request's id.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from metricsapi.telemetry.log_stream import LogStream

LOG = logging.getLogger("metricsapi")
REQUESTS = logging.DEBUG  # shown from -v=2
SCRAPES = 5  # shown from -v=4
REQUEST_ID: ContextVar[str] = ContextVar("request id", default="")  # of the request being served
_LETTERS = {logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}


def _data(record: logging.LogRecord) -> dict[str, Any]:
    data = dict(getattr(record, "data", None) or {})
    if request := REQUEST_ID.get():
        data["request"] = request
    if record.exc_info and record.exc_info[1] is not None:
        data["error"] = repr(record.exc_info[1])
        data["traceback"] = logging.Formatter().formatException(record.exc_info)
    return data


def _value(value: object) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, int | float):
        return json.dumps(value)
    listed = isinstance(value, str | list | tuple | Mapping)
    return json.dumps(value if listed else str(value), default=str)


class TextFormatter(logging.Formatter):
    """klog's structured text: `I1123 18:06:40.123456 collect] "node failed" node="a"`."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        letter = _LETTERS.get(record.levelno, "D")
        head = f"{letter}{when:%m%d %H:%M:%S.%f} {record.name}]"
        pairs = (f"{_key(key)}={_value(value)}" for key, value in _data(record).items())
        return " ".join([head, json.dumps(record.getMessage()), *pairs])


class JSONFormatter(logging.Formatter):
    """One JSON object per line: ts, level, logger, msg, then the event's data."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        line = {
            "ts": when.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower() if record.levelno >= logging.INFO else "debug",
            "logger": record.name,
            "msg": record.getMessage(),
        }
        for key, value in _data(record).items():
            line[key if key not in line else f"data.{key}"] = value
        return json.dumps(line, default=str)


def _key(key: str) -> str:
    return "".join(char if char.isalnum() and char.isascii() else "_" for char in key)


class Handler(logging.Handler):
    """Writes lines; a failure to write is remembered for the health check `log`."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = LogStream(stream)
        self._failure = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line. Raises nothing: a failure must not reach the code that logs."""
        try:
            self._stream.write(self._text(record))
            self._failure = ""
            if self._stream.dropped and not self._stream.waiting:
                self._stream.write(self._text(self._gap()))
        except OSError as error:
            self._failure = error.strerror or str(error)
        except ValueError as error:  # the stream is closed
            self._failure = str(error)

    def _gap(self) -> logging.LogRecord:
        dropped, self._stream.dropped = self._stream.dropped, 0
        text = "lines of the log were dropped, since nothing read it"
        return logging.makeLogRecord(
            {
                "name": LOG.name,
                "levelno": logging.WARNING,
                "levelname": "WARNING",
                "msg": text,
                "data": {"lines": dropped},
            }
        )

    def _text(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:  # noqa: BLE001  data without a text must not cost the line
            text = f"{record.msg} (the data of this line cannot be shown: {error!r})"
            plain = logging.makeLogRecord({**record.__dict__, "msg": text, "args": (), "data": {}})
            plain.exc_info = None
            return self.format(plain)

    def problem(self) -> str | None:
        """Return None, or why the last line could not be written."""
        if not self._failure:
            return None
        return f"the last log line could not be written: {self._failure}"


def configure(logging_format: str, verbosity: int, stream: TextIO | None = None) -> Handler:
    """Send the logs of this process to `stream` (stderr) as `text` or `json`."""
    handler = Handler(stream or sys.stderr)
    handler.setFormatter(JSONFormatter() if logging_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    LOG.setLevel(SCRAPES if verbosity >= 4 else REQUESTS if verbosity >= 2 else logging.INFO)
    return handler


def problem() -> str | None:
    """Return what is wrong with the log of this process, or None."""
    handlers = [each for each in logging.getLogger().handlers if isinstance(each, Handler)]
    return next((problem for each in handlers if (problem := each.problem())), None)
