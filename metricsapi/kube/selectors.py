"""Label selectors: which objects meet their requirements, and their canonical text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

IN, NOT_IN, EXISTS, NOT_EXISTS, GREATER, LESS = "in", "notin", "exists", "!", "gt", "lt"

_SYMBOLS = {IN: "=", NOT_IN: "!=", GREATER: ">", LESS: "<"}  # before a single value
_INTEGER = re.compile(r"[+-]?[0-9]+")
_FEW = 8  # requirements, which are checked one after the other


class SelectorError(ValueError):
    """A selector that cannot be read. The text is what the API server answers."""


@dataclass(frozen=True)
class Requirement:
    """One condition on the label `key`; `values` are those of in, notin, gt and lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether an object with these labels fulfils the condition."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        (limit,) = self.values
        number = integer(value)
        if number is None:
            return False
        return number > int(limit) if self.operator == GREATER else number < int(limit)


class Conditions:
    """The requirements of a selector by key, to check many objects.

    A check takes as long as the labels of the object are many, and not as the requirements are, of
    which a selector may have thousands.
    """

    def __init__(self, requirements: Iterable[Requirement]) -> None:
        self._all = tuple(_merged(requirements))
        self._by_key: dict[str, list[Requirement]] = {}
        for requirement in self._all:
            self._by_key.setdefault(requirement.key, []).append(requirement)
        # Without a label of these keys no object fulfils them; without the others every one does.
        self._wanted = frozenset(
            each.key for each in self._all if each.operator not in (NOT_IN, NOT_EXISTS)
        )

    def __bool__(self) -> bool:
        return bool(self._all)

    def met_by(self, labels: Mapping[str, str]) -> bool:
        """Return whether an object with these labels fulfils every requirement."""
        if len(self._all) <= _FEW:
            return all(each.matches(labels) for each in self._all)
        if not self._wanted <= labels.keys():
            return False
        by_key = self._by_key
        return all(each.matches(labels) for key in labels for each in by_key.get(key, ()))


def _merged(requirements: Iterable[Requirement]) -> Iterable[Requirement]:
    """Return requirements of the same meaning, of each key and operator one."""
    merged: dict[tuple[str, str], Requirement] = {}
    for each in requirements:
        key = each.key, each.operator
        before = merged.get(key)
        merged[key] = each if before is None else replace(each, values=_both(before, each))
    return merged.values()


def _both(first: Requirement, second: Requirement) -> frozenset[str]:
    """Return the values of the requirement that two of one key and operator make together."""
    if first.operator == NOT_IN:
        return first.values | second.values
    if first.operator == IN:
        return first.values & second.values
    if first.operator in (GREATER, LESS):
        strictest = max if first.operator == GREATER else min
        return frozenset([strictest(*first.values, *second.values, key=int)])
    return first.values


def selector_text(requirements: Iterable[Requirement]) -> str:
    """Return the canonical text of a label selector, which `parse_labels` reads back.

    Selectors of the same requirements have the same text, however they were written. It is the
    text of Go's `labels.Selector`, sorted by key.
    """
    return ",".join(sorted({_requirement_text(each) for each in requirements}))


def _requirement_text(requirement: Requirement) -> str:
    key, operator, values = requirement.key, requirement.operator, sorted(requirement.values)
    if operator in (EXISTS, NOT_EXISTS):
        return f"!{key}" if operator == NOT_EXISTS else key
    if len(values) > 1:
        return f"{key} {operator} ({','.join(values)})"
    return f"{key}{_SYMBOLS[operator]}{values[0]}"


def integer(text: str) -> int | None:
    """Read an integer of 64 bits as Go does: ASCII digits alone."""
    number = int(text) if len(text) <= 64 and _INTEGER.fullmatch(text) else None
    return number if number is not None and -(2**63) <= number < 2**63 else None
