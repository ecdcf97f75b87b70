"""Label selectors in Kubernetes' full grammar, with the errors that its API server words.

selector    = requirement {"," requirement}
requirement = ["!"] key | key ("=" | "==" | "!=" | ">" | "<") [value]
            | key ("in" | "notin") "(" [value] {"," [value]} ")"
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from metricsapi.kube.label_validation import key_faults, value_faults

IN, NOT_IN, EXISTS, NOT_EXISTS, GREATER, LESS = "in", "notin", "exists", "!", "gt", "lt"

_OPERATORS = {
    "in": IN,
    "=": IN,
    "==": IN,
    "notin": NOT_IN,
    "!=": NOT_IN,
    ">": GREATER,
    "<": LESS,
}
_SYMBOLS = {IN: "=", NOT_IN: "!=", GREATER: ">", LESS: "<"}  # before a single value
_WORDS = "in, notin, =, ==, !=, gt, lt"
# A run of symbols is cut greedily: the longest known symbol first. NUL ends a selector.
_TOKEN = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^ \t\r\n=!(),<>\x00]+))")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_FEW = 8  # requirements, which are checked one after the other
_END = ""  # the text of the token that ends every selector


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
        number = _integer(value)
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


def parse_labels(selector: str) -> tuple[Requirement, ...]:
    """Return the requirements of a label selector, all of which must hold; raises SelectorError."""
    return _Parser(selector).parse()


class _Parser:
    def __init__(self, selector: str) -> None:
        self._tokens: list[tuple[str, bool]] = []  # text, and whether it is a symbol
        at = 0
        while match := _TOKEN.match(selector, at):
            at = match.end()
            symbol = match[1] is not None
            self._tokens.append((match[1] if symbol else match[2], symbol))
        self._tokens.append((_END, True))
        self._at = 0

    def parse(self) -> tuple[Requirement, ...]:
        requirements: list[Requirement] = []
        text, symbol = self._peek()
        while text != _END:
            if symbol and text != "!":
                raise SelectorError(f"found '{text}', expected: !, identifier, or 'end of string'")
            try:
                requirements.append(self._requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            end, _ = self._next()
            if end not in (",", _END):
                raise SelectorError(f"found '{end}', expected: ',' or 'end of string'")
            text, symbol = self._peek()
            if end == "," and symbol and text != "!":
                raise SelectorError(f"found '{text}', expected: identifier after ','")
        return tuple(requirements)

    def _peek(self) -> tuple[str, bool]:
        return self._tokens[min(self._at, len(self._tokens) - 1)]

    def _next(self) -> tuple[str, bool]:
        token = self._peek()
        self._at += 1
        return token

    def _requirement(self) -> Requirement:
        key, symbol = self._next()
        absent = symbol and key == "!"
        if absent:
            key, symbol = self._next()
        if symbol:
            raise SelectorError(f"found '{key}', expected: identifier")
        if faults := key_faults(key):
            raise SelectorError(f"<nil>: Invalid value: {_quoted(key)}: {'; '.join(faults)}")
        if absent or self._peek()[0] in (",", _END):
            return Requirement(key, NOT_EXISTS if absent else EXISTS)
        word, _ = self._next()
        if word not in _OPERATORS:
            raise SelectorError(f"found '{word}', expected: {_WORDS}")
        values = self._set() if word in ("in", "notin") else {self._value()}
        return _checked(key, _OPERATORS[word], values)

    def _value(self) -> str:
        text, symbol = self._peek()
        if text in (",", _END):
            return ""
        self._at += 1
        if symbol:
            raise SelectorError(f"found '{text}', expected: identifier")
        return text

    def _set(self) -> set[str]:
        text, _ = self._next()
        if text != "(":
            raise SelectorError(f"found '{text}' expected: '('")
        text, symbol = self._peek()
        if symbol and text not in (",", ")"):
            raise SelectorError(f"found '{text}', expected: ',', ')' or identifier")
        values: set[str] = set()
        before = "("  # the symbol before the place where a value may stand
        while True:
            text, symbol = self._next()
            if not symbol:
                values.add(text)
                before, _ = self._next()
                if before not in (",", ")"):
                    raise SelectorError(f"found '{before}', expected: ',' or ')'")
            elif text in (",", ")"):
                values.add("")
                before = text
            else:
                raise SelectorError(f"found '{text}', expected: ',', or identifier")
            if before == ")":
                return values


def _requirement_text(requirement: Requirement) -> str:
    key, operator, values = requirement.key, requirement.operator, sorted(requirement.values)
    if operator in (EXISTS, NOT_EXISTS):
        return f"!{key}" if operator == NOT_EXISTS else key
    if len(values) > 1:
        return f"{key} {operator} ({','.join(values)})"
    return f"{key}{_SYMBOLS[operator]}{values[0]}"


def _checked(key: str, operator: str, values: set[str]) -> Requirement:
    faults = []
    for at, value in enumerate(sorted(values)):
        quoted = _quoted(value)
        if operator in (GREATER, LESS) and _integer(value) is None:
            reason = "for 'Gt', 'Lt' operators, the value must be an integer"
            faults.append(f"values[{at}]: Invalid value: {quoted}: {reason}")
        if problems := value_faults(value):
            faults.append(f"values[{at}][{key}]: Invalid value: {quoted}: {'; '.join(problems)}")
    if faults:
        raise SelectorError(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")
    return Requirement(key, operator, frozenset(values))


def _integer(text: str) -> int | None:
    """Read an integer of 64 bits as Go does: ASCII digits alone."""
    number = int(text) if len(text) <= 64 and _INTEGER.fullmatch(text) else None
    return number if number is not None and -(2**63) <= number < 2**63 else None


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
