"""Field selectors: `metadata.name=a,metadata.namespace!=b`, escapes and errors as Kubernetes'."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metricsapi.kube.selectors import SelectorError

_TERM = re.compile(r"(?:\\.|[^,\\]|\\$)*", re.DOTALL)
_OPERATOR = re.compile(r"!=|==|=")
NAME, NAMESPACE, NODE_NAME = "metadata.name", "metadata.namespace", "spec.nodeName"


@dataclass(frozen=True)
class FieldTerm:
    """One condition on a field: it is `value`, or with `negated` it is not."""

    field: str
    value: str
    negated: bool


@dataclass(frozen=True)
class FieldCondition:
    """All terms of one kind on a field: it is one of `values`, or with `negated` none of them."""

    field: str
    values: frozenset[str]
    negated: bool

    def met_by(self, value: str) -> bool:
        """Return whether an object fulfils the terms, of which the field has this value."""
        return (value in self.values) is not self.negated


def conditions_of(terms: Iterable[FieldTerm]) -> tuple[FieldCondition, ...]:
    """Return at most two conditions a field with the meaning of these terms, perhaps hundreds."""
    merged: dict[tuple[str, bool], frozenset[str]] = {}
    for term in terms:
        key, values = (term.field, term.negated), frozenset([term.value])
        before = merged.get(key, values)
        merged[key] = before | values if term.negated else before & values
    return tuple(
        FieldCondition(field, values, negated) for (field, negated), values in merged.items()
    )


def parse_fields(selector: str, known: Sequence[str]) -> tuple[FieldTerm, ...]:
    """Return the terms of a field selector, sorted as written; raises SelectorError.

    `known` are the fields that may stand in it.
    """
    terms = []
    for term in sorted(_terms(selector)):
        operator = _OPERATOR.search(term)
        if operator is None:
            raise SelectorError(f"invalid selector: '{selector}'; can't understand '{term}'")
        value = _unescaped(term[operator.end() :])
        terms.append(FieldTerm(term[: operator.start()], value, operator[0] == "!="))
    for each in terms:
        if each.field not in known:
            names = ", ".join(f'"{name}"' for name in known)
            raise SelectorError(f'"{each.field}" is not a known field selector: only {names}')
    return tuple(terms)


def _terms(selector: str) -> list[str]:
    """Split at each comma that no backslash stands before."""
    terms, at = [], 0
    while at <= len(selector):
        match = _TERM.match(selector, at)
        assert match is not None  # noqa: S101  the pattern matches the empty text
        terms.append(match[0])
        at = match.end() + 1
    return [term for term in terms if term]


def _unescaped(value: str) -> str:
    fault = "invalid field selector:"
    out, rest = [], iter(value)
    for char in rest:
        if char in ",=":
            raise SelectorError(f"{fault} unescaped character in value: {ord(char)}")
        if char != "\\":
            out.append(char)
            continue
        escaped = next(rest, "")
        if not escaped or escaped not in "\\,=":
            raise SelectorError(f"{fault} invalid escape sequence: \\{escaped}")
        out.append(escaped)
    return "".join(out)
