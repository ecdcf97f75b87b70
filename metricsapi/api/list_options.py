"""What a request's query asks for: ListOptions, GetOptions and TableOptions as Kubernetes reads
them, with its words for values that do not parse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from metricsapi.api.status import StatusError, bad_request
from metricsapi.config.flags import is_duration
from metricsapi.kube.field_selectors import FieldTerm, parse_fields
from metricsapi.kube.selectors import Requirement, SelectorError, parse_labels

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))


@dataclass(frozen=True)
class Options:
    """A request's query, read. `pretty` is None when the query does not say."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldTerm, ...] = ()
    watch: bool = False
    limit: int = 0  # 0 for all
    token: str = ""  # `continue`
    include_object: str = ""
    pretty: bool | None = None


def first_values(query: str) -> dict[str, str]:
    """Give the first value of each parameter of a query string."""
    values: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        values.setdefault(key, value)
    return values


def get_options(query: str) -> Options:
    """Read the query of a request for one object; raises StatusError."""
    values = first_values(query)
    _check_timeout(values)
    _check_version(values)
    return Options(include_object=values.get("includeObject", ""), pretty=_pretty(values))


def list_options(query: str, known_fields: Sequence[str]) -> Options:
    """Read the query of a request for a list; raises StatusError."""
    values = first_values(query)
    _check_timeout(values)
    _integer(values, "timeoutSeconds")
    limit = _integer(values, "limit")
    try:
        labels = parse_labels(values.get("labelSelector", ""))
        fields = parse_fields(values.get("fieldSelector", ""), known_fields)
    except SelectorError as error:
        raise bad_request(str(error)) from None
    watch = values.get("watch", "0").lower() not in ("0", "false")
    _check_match(values, watch=watch)
    _check_version(values)
    token = values.get("continue", "")
    if token and values.get("resourceVersion", "") not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")
    return Options(
        labels,
        fields,
        watch,
        max(limit, 0),
        token,
        values.get("includeObject", ""),
        _pretty(values),
    )


def pretty_option(query: str) -> bool | None:
    """Give what a query says about indented JSON, None when it says nothing; never raises."""
    return _pretty(first_values(query)) if "pretty" in query else None


def _pretty(values: Mapping[str, str]) -> bool | None:
    value = values.get("pretty")
    # `?pretty` without a value means nothing to Kubernetes; to people it means yes.
    return None if value is None else not value or value in _TRUE


def _integer(values: Mapping[str, str], name: str) -> int:
    text = values.get(name)
    if text is None:
        return 0
    if not re.fullmatch(r"[-+]?[0-9]+", text):
        raise bad_request(f"strconv.ParseInt: parsing {_quoted(text)}: invalid syntax")
    if len(text.lstrip("+-0")) > 19 or not -(2**63) <= int(text) < 2**63:
        raise bad_request(f"strconv.ParseInt: parsing {_quoted(text)}: value out of range")
    return int(text)


def _check_timeout(values: Mapping[str, str]) -> None:
    """`timeout` bounds a request (serve/deadline.py); here it has only to be readable."""
    text = values.get("timeout", "")
    if text and not is_duration(text):
        raise bad_request(
            f"invalid timeout specified in the request URL - time: invalid duration {_quoted(text)}"
        )


def _check_version(values: Mapping[str, str]) -> None:
    text = values.get("resourceVersion", "")
    if not text:
        return
    fault = ""
    if not re.fullmatch(r"[0-9]+", text):
        fault = "invalid syntax"
    elif len(text.lstrip("0")) > 20 or int(text) >= 2**64:
        fault = "value out of range"
    if fault:
        quoted = _quoted(text)
        cause = f"strconv.ParseUint: parsing {quoted}: {fault}"
        raise bad_request(f"resourceVersion: Invalid value: {quoted}: {cause}")


def _check_match(values: Mapping[str, str], *, watch: bool) -> None:
    """Refuse what `ValidateListOptions` refuses, with all causes at once."""
    match, version = values.get("resourceVersionMatch", ""), values.get("resourceVersion", "")
    name = "resourceVersionMatch"
    causes: list[tuple[str, str, str]] = []
    if match and watch:
        causes.append(("Forbidden", name, f"{name} is forbidden for watch"))
    elif match:
        if not version:
            text = f"{name} is forbidden unless resourceVersion is provided"
            causes.append(("Forbidden", name, text))
        if values.get("continue"):
            text = f"{name} is forbidden when continue is provided"
            causes.append(("Forbidden", name, text))
        if match not in ("Exact", "NotOlderThan"):
            text = f'{_quoted(match)}: supported values: "Exact", "NotOlderThan", ""'
            causes.append(("NotSupported", name, text))
        if match == "Exact" and version == "0":
            text = f'{name} "exact" is forbidden for resourceVersion "0"'
            causes.append(("Forbidden", name, text))
    if "sendInitialEvents" in values and not watch:
        text = "sendInitialEvents is forbidden for list"
        causes.append(("Forbidden", "sendInitialEvents", text))
    if causes:
        raise _invalid(causes)


def _invalid(causes: Sequence[tuple[str, str, str]]) -> StatusError:
    kinds = {"Forbidden": "Forbidden", "NotSupported": "Unsupported value"}
    texts = [f"{field}: {kinds[kind]}: {text}" for kind, field, text in causes]
    together = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return StatusError(
        422,
        "Invalid",
        f'ListOptions.meta.k8s.io "" is invalid: {together}',
        {
            "group": "meta.k8s.io",
            "kind": "ListOptions",
            "causes": [
                {
                    "reason": f"FieldValue{kind}",
                    "message": f"{kinds[kind]}: {text}",
                    "field": field,
                }
                for kind, field, text in causes
            ],
        },
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
