"""Which objects a list or a watch is about: field selectors and label selectors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Object = dict[str, Any]
_SET = re.compile(r"^\s*(!?)\s*([\w./-]+)\s*(?:\b(in|notin)\s*\(([^)]*)\))?\s*$")
_PARTS = re.compile(r",(?![^(]*\))")


def by_fields(text: str) -> Callable[[Object], bool]:
    """Give the test for `a.b=c,d!=e`."""
    wanted = []
    for part in filter(None, text.split(",")):
        path, sign, value = re.split(r"(!=|==|=)", part, maxsplit=1)
        wanted.append((path.split("."), sign != "!=", value))
    return lambda item: all((_field(item, path) == value) is equal for path, equal, value in wanted)


def _field(item: Object, path: list[str]) -> str:
    found: Any = item
    for step in path:
        found = found.get(step, "") if isinstance(found, dict) else ""
    return str(found)


def by_labels(text: str) -> Callable[[Object], bool]:
    """Give the test for a label selector. Raises ValueError when it cannot be read."""
    tests = [_requirement(part) for part in _PARTS.split(text) if part.strip()]

    def matches(item: Object) -> bool:
        labels = item["metadata"].get("labels") or {}
        return all(test(labels) for test in tests)

    return matches


def _requirement(part: str) -> Callable[[dict[str, str]], bool]:
    if found := _SET.match(part):
        absent, key, operator, values = found.groups()
        if operator:
            among = {value.strip() for value in values.split(",")}
            return lambda labels: (labels.get(key) in among) is (operator == "in")
        return lambda labels: (key in labels) is not bool(absent)
    pieces = re.split(r"(!=|==|=)", part, maxsplit=1)
    if len(pieces) != 3:
        raise ValueError(f"unable to parse requirement: {part}")
    key, sign, value = (piece.strip() for piece in pieces)
    return lambda labels: (labels.get(key) == value) is (sign != "!=")
