"""What the doctor prints: a table that ends with what to do, or JSON; and a progress bar."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from msgspec import to_builtins

from metricsapi.tools.doctor.result import NOT_REACHED, Result, Status

_MARKS = {Status.OK: "ok  ", Status.WARN: "WARN", Status.FAIL: "FAIL", Status.SKIP: "skip"}
_COLOURS = {Status.OK: "32", Status.WARN: "33", Status.FAIL: "31", Status.SKIP: "2"}


def exit_status(results: Sequence[Result]) -> int:
    """Return 1 if anything failed, else 0: warnings and what could not be looked at pass."""
    return int(any(result.status is Status.FAIL for result in results))


def as_json(results: Sequence[Result]) -> str:
    """Every result, and how many of each status."""
    counts = Counter(result.status for result in results)
    summary = {str(status): counts[status] for status in Status}
    return json.dumps({"results": to_builtins(list(results)), "summary": summary}, indent=1) + "\n"


def as_table(results: Sequence[Result], *, colour: bool = False, width: int = 110) -> str:
    """One line per result. Nodes on which all is well take one line; fixes follow their line."""
    lines: list[str] = []
    for subject in dict.fromkeys(result.subject for result in results):
        own = [result for result in results if result.subject == subject]
        if subject != "cluster" and all(result.status is Status.OK for result in own):
            payload = next((one.evidence for one in own if one.check == "payload"), "")
            lines.append(f"{_mark(Status.OK, colour)}  {_plain(subject)}: all {len(own)} checks"
                         f"{', ' + _plain(payload) if payload else ''}")  # fmt: skip
            continue
        if subject != "cluster":
            lines.append(f"      {_plain(subject)}:")
        unreached = [result.check for result in own if result.evidence == NOT_REACHED]
        for result in own:
            if result.evidence == NOT_REACHED:
                continue
            text = f"{result.check}: {_plain(result.evidence)}"
            lines += _wrap(f"{_mark(result.status, colour)}  ", text, width)
            if result.fix:
                lines += _wrap("      -> ", result.fix, width)
        if unreached:
            text = f"{', '.join(unreached)}: {NOT_REACHED}"
            lines += _wrap(f"{_mark(Status.SKIP, colour)}  ", text, width)
    counts = Counter(result.status for result in results)
    total = ", ".join(f"{counts[status]} {status}" for status in Status)
    return "\n".join([*lines, "", total, ""])


def _wrap(head: str, text: str, width: int) -> list[str]:
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    return [head + lines[0], *(f"         {line}" for line in lines[1:])]


def _mark(status: Status, colour: bool) -> str:
    return f"\x1b[{_COLOURS[status]}m{_MARKS[status]}\x1b[0m" if colour else _MARKS[status]


def _plain(text: str) -> str:
    """Nothing that a terminal would obey: evidence comes from the other side."""
    return "".join(char if char.isprintable() else " " for char in text)


class Progress:
    """A bar on a terminal; silent elsewhere."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream if stream.isatty() else None
        self._total = total
        self._done = 0

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        if self._stream and self._total:
            filled = 30 * self._done // self._total
            bar = "#" * filled + "." * (30 - filled)
            end = "\r\x1b[K" if self._done == self._total else ""
            self._stream.write(f"\r[{bar}] {self._done}/{self._total} nodes{end}")
            self._stream.flush()
