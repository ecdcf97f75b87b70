"""What a request's query asks for: ListOptions, GetOptions and TableOptions as Kubernetes reads
them, refused with its texts where values do not parse.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from metricsapi.api.asgi import QueryString
from metricsapi.api.render.negotiation import pretty_option
from metricsapi.api.status import StatusError, bad_request
from metricsapi.config.durations import is_duration
from metricsapi.kube.field_selectors import NAME, NAMESPACE, FieldTerm, parse_fields
from metricsapi.kube.quoting import quoted
from metricsapi.kube.selector_parser import parse_labels
from metricsapi.kube.selectors import Requirement, SelectorError, selector_text

_SIGNED = re.compile(r"[-+]?[0-9]+")
_UNSIGNED = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class Options:
    """A request's query, read. `pretty` is None when the query does not say.

    `selector` is the canonical text of `labels`. `name` and `namespace` are those of every object
    that meets `fields`, None where these leave them open.
    """

    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldTerm, ...] = ()
    selector: str = ""
    name: str | None = None
    namespace: str | None = None
    watch: bool = False
    limit: int = 0  # 0 for all
    token: str = ""  # `continue`
    include_object: str = ""
    pretty: bool | None = None


def get_options(query: QueryString) -> Options:
    """Read the query of a request for one object; raises StatusError."""
    _check_timeout(query)
    _check_version(query)
    return Options(include_object=query.get("includeObject"), pretty=pretty_option(query))


def list_options(query: QueryString, known_fields: Sequence[str]) -> Options:
    """Read the query of a request for a list; raises StatusError."""
    _check_timeout(query)
    _integer(query, "timeoutSeconds")
    limit = _integer(query, "limit")
    try:
        labels = parse_labels(query.get("labelSelector"))
        fields = parse_fields(query.get("fieldSelector"), known_fields)
    except SelectorError as error:
        raise bad_request(str(error)) from None
    watch = query.get("watch", "0").lower() not in ("0", "false")
    _check_match(query, watch=watch)
    _check_version(query)
    token = query.get("continue")
    if token and query.get("resourceVersion") not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")
    fixed = {term.field: term.value for term in fields if not term.negated}
    return Options(
        labels,
        fields,
        selector_text(labels),
        fixed.get(NAME),
        fixed.get(NAMESPACE),
        watch,
        max(limit, 0),
        token,
        query.get("includeObject"),
        pretty_option(query),
    )


def _integer(query: QueryString, name: str) -> int:
    if name not in query:
        return 0
    text = query.get(name)
    try:
        return _parse_int(text, _SIGNED, -(2**63), 2**63 - 1)
    except ValueError as fault:
        raise bad_request(f"strconv.ParseInt: parsing {quoted(text)}: {fault}") from None


def _parse_int(text: str, syntax: re.Pattern[str], least: int, most: int) -> int:
    """Read a number as Go's strconv does; raises ValueError with its word for what is wrong."""
    if not syntax.fullmatch(text):
        raise ValueError("invalid syntax")
    # Python's int() refuses thousands of digits, even of leading zeros.
    digits = text.lstrip("+-").lstrip("0") or "0"
    if len(digits) > len(str(2**64)):
        raise ValueError("value out of range")
    value = -int(digits) if text.startswith("-") else int(digits)
    if not least <= value <= most:
        raise ValueError("value out of range")
    return value


def _check_timeout(query: QueryString) -> None:
    """`timeout` bounds a request (server/http/timeout.py); here it has only to be readable."""
    text = query.get("timeout")
    if text and not is_duration(text):
        raise bad_request(
            f"invalid timeout specified in the request URL - time: invalid duration {quoted(text)}"
        )


def _check_version(query: QueryString) -> None:
    text = query.get("resourceVersion")
    if not text:
        return
    try:
        _parse_int(text, _UNSIGNED, 0, 2**64 - 1)
    except ValueError as fault:
        cause = f"strconv.ParseUint: parsing {quoted(text)}: {fault}"
        raise bad_request(f"resourceVersion: Invalid value: {quoted(text)}: {cause}") from None


def _check_match(query: QueryString, *, watch: bool) -> None:
    """Refuse what `ValidateListOptions` refuses, with all causes at once."""
    match, version = query.get("resourceVersionMatch"), query.get("resourceVersion")
    name = "resourceVersionMatch"
    causes: list[tuple[str, str, str]] = []
    if match and watch:
        causes.append(("Forbidden", name, f"{name} is forbidden for watch"))
    elif match:
        if not version:
            text = f"{name} is forbidden unless resourceVersion is provided"
            causes.append(("Forbidden", name, text))
        if query.get("continue"):
            text = f"{name} is forbidden when continue is provided"
            causes.append(("Forbidden", name, text))
        if match not in ("Exact", "NotOlderThan"):
            text = f'{quoted(match)}: supported values: "Exact", "NotOlderThan", ""'
            causes.append(("NotSupported", name, text))
        if match == "Exact" and version == "0":
            text = f'{name} "exact" is forbidden for resourceVersion "0"'
            causes.append(("Forbidden", name, text))
    if "sendInitialEvents" in query and not watch:
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
