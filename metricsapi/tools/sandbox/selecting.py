"""Parses field and label selectors into a test for objects, as lists and watches need it."""

from __future__ import annotations

import re
from collections.abc import Callable

from metricsapi.tools.sandbox.kinds import Kind
from metricsapi.tools.sandbox.record import Record

Test = Callable[[Record], bool]
_SET = re.compile(r"^\s*(!?)\s*([\w./-]+)\s*(?:\b(in|notin)\s*\(([^)]*)\))?\s*$")
_PARTS = re.compile(r",(?![^(]*\))")


class BadSelector(ValueError):
    """A selector that cannot be read, or one of a field that cannot be selected by."""


def selection(kind: Kind, labels: str, fields: str, namespace: str | None) -> Test:
    """Return the test for objects of a list or watch with these parameters. Raises BadSelector."""
    tests = [*_by_fields(kind, fields), *_by_labels(labels)]
    if namespace is not None:
        tests.insert(0, lambda record: record.namespace == namespace)
    if not tests:
        return lambda _: True
    if len(tests) == 1:
        return tests[0]
    return lambda record: all(test(record) for test in tests)


def _by_fields(kind: Kind, text: str) -> list[Test]:
    """Return the tests of `a.b=c,d!=e`."""
    tests = []
    for part in filter(None, text.split(",")):
        pieces = re.split(r"(!=|==|=)", part, maxsplit=1)
        if len(pieces) != 3:
            raise BadSelector(f"invalid selector: '{text}'; can't understand '{part}'")
        path, sign, value = pieces
        if path not in kind.selectable:
            raise BadSelector(f"field label not supported: {path}")
        tests.append(_field_test(path, value, sign != "!="))
    return tests


def _field_test(path: str, value: str, equal: bool) -> Test:
    return lambda record: (record.field(path) == value) is equal


def _by_labels(text: str) -> list[Test]:
    """Return the test of a label selector, if there is one."""
    requirements = [_requirement(part) for part in _PARTS.split(text) if part.strip()]
    if not requirements:
        return []

    def matches(record: Record) -> bool:
        labels = record.labels()
        return all(requirement(labels) for requirement in requirements)

    return [matches]


def _requirement(part: str) -> Callable[[dict[str, str]], bool]:
    if match := _SET.match(part):
        absent, key, operator, values = match.groups()
        if operator:
            among = {value.strip() for value in values.split(",")}
            return lambda labels: (labels.get(key) in among) is (operator == "in")
        return lambda labels: (key in labels) is not bool(absent)
    pieces = re.split(r"(!=|==|=)", part, maxsplit=1)
    if len(pieces) != 3:
        raise BadSelector(f"unable to parse requirement: {part}")
    key, sign, value = (piece.strip() for piece in pieces)
    return lambda labels: (labels.get(key) == value) is (sign != "!=")
