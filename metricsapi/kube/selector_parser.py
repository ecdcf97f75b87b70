"""Parses label selectors in Kubernetes' full grammar, with the errors that its API server words.

selector    = requirement {"," requirement}
requirement = ["!"] key | key ("=" | "==" | "!=" | ">" | "<") [value]
            | key ("in" | "notin") "(" [value] {"," [value]} ")"
"""

from __future__ import annotations

import re

from metricsapi.kube.label_validation import key_faults, value_faults
from metricsapi.kube.quoting import quoted
from metricsapi.kube.selectors import (
    EXISTS,
    GREATER,
    IN,
    LESS,
    NOT_EXISTS,
    NOT_IN,
    Requirement,
    SelectorError,
    integer,
)

_OPERATORS = {
    "in": IN,
    "=": IN,
    "==": IN,
    "notin": NOT_IN,
    "!=": NOT_IN,
    ">": GREATER,
    "<": LESS,
}
_WORDS = "in, notin, =, ==, !=, gt, lt"
# A run of symbols is cut greedily: the longest known symbol first. NUL ends a selector.
_TOKEN = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^ \t\r\n=!(),<>\x00]+))")
_END = ""  # the text of the token that ends every selector


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
            raise SelectorError(f"<nil>: Invalid value: {quoted(key)}: {'; '.join(faults)}")
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


def _checked(key: str, operator: str, values: set[str]) -> Requirement:
    faults = []
    for at, value in enumerate(sorted(values)):
        if operator in (GREATER, LESS) and integer(value) is None:
            reason = "for 'Gt', 'Lt' operators, the value must be an integer"
            faults.append(f"values[{at}]: Invalid value: {quoted(value)}: {reason}")
        if problems := value_faults(value):
            faults.append(
                f"values[{at}][{key}]: Invalid value: {quoted(value)}: {'; '.join(problems)}"
            )
    if faults:
        raise SelectorError(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")
    return Requirement(key, operator, frozenset(values))
