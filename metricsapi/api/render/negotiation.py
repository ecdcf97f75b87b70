"""Which representation a request gets: `Accept` as k8s.io/apiserver reads it.

Clauses are tried from the highest q down, `*/*` after more specific ones; a clause whose parameters
ask for what the endpoint cannot do is skipped. As in the reference, and unlike RFC 9110, q=0 is the
last choice and not a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from metricsapi.api.asgi import QueryString

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
AVAILABLE = (JSON, YAML, PROTOBUF)

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))  # as strconv.ParseBool takes them
# User agents of people begin like this; they get indented JSON, as from k8s.io/apiserver.
_INTERACTIVE = ("curl", "Wget", "Mozilla/5.0")

META_GROUP = "meta.k8s.io"
DISCOVERY_GROUP = "apidiscovery.k8s.io"


@dataclass(frozen=True)
class Convert:
    """The kind of object that a client wants instead of the resource's own."""

    kind: str = ""
    group: str = ""
    version: str = ""


@dataclass(frozen=True)
class MediaType:
    """The outcome of a negotiation: one of the available types, and what its parameters ask for."""

    type: str
    convert: Convert | None = None
    pretty: bool = False


@dataclass(frozen=True)
class Clause:
    """One part of an `Accept` header."""

    type: str
    subtype: str
    quality: float
    parameters: dict[str, str]


Allows = Callable[[str, Convert | None], bool]  # whether an endpoint has (type, wanted kind)


def allows_plain(_: str, convert: Convert | None) -> bool:
    """Allow no conversion: for endpoints that serve nothing but their own object."""
    return convert is None


def allows_meta(media_type: str, convert: Convert | None) -> bool:
    """Allow what resources offer: Table (not in protobuf, which has no such message), metadata."""
    if convert is None:
        return True
    if convert.group != META_GROUP or convert.version not in ("v1", "v1beta1"):
        return False
    if convert.kind == "Table":
        return media_type != PROTOBUF
    return convert.kind in ("PartialObjectMetadata", "PartialObjectMetadataList")


def allows_aggregated(media_type: str, convert: Convert | None) -> bool:
    """Allow what `/apis` offers: aggregated discovery v2 and v2beta1."""
    return convert is None or (
        convert.group == DISCOVERY_GROUP
        and convert.version in ("v2", "v2beta1")
        and convert.kind == "APIGroupDiscoveryList"
        and media_type in AVAILABLE
    )


def pretty_option(query: QueryString) -> bool | None:
    """Return what a query says about indented JSON, None when it says nothing."""
    if "pretty" not in query:
        return None
    value = query.get("pretty")
    # `?pretty` without a value means nothing to Kubernetes; to people it means yes.
    return not value or value in _TRUE


def wants_pretty(option: bool | None, user_agent: str) -> bool:
    """Return whether to indent JSON: as the query says, else for programs that people use."""
    return user_agent.startswith(_INTERACTIVE) if option is None else option


def choose_format(query: QueryString, accept: str, formats: Mapping[str, str]) -> str | None:
    """Return the name of the format that a caller wants: `?format=` wins over `Accept`.

    `formats` is media types by name, the default first. None if none of them is accepted.
    """
    if "format" in query:
        name = query.get("format")
        return name if name in formats else None
    media = negotiate(accept, available=tuple(formats.values()))
    return next((name for name, kind in formats.items() if media and kind == media.type), None)


def negotiate(
    accept: str, allows: Allows = allows_plain, available: Sequence[str] = AVAILABLE
) -> MediaType | None:
    """Return the available type that fits the header best, by default the first; None for 406."""
    if not accept:
        return MediaType(available[0])
    for clause in parse_accept(accept):
        for media_type in available:
            kind, _, subtype = media_type.partition("/")
            fits = clause.type == kind and clause.subtype in (subtype, "*")
            if not fits and (clause.type, clause.subtype) != ("*", "*"):
                continue
            media = _with_parameters(media_type, clause.parameters, allows)
            if media is not None:
                return media
    return None


def parse_accept(accept: str) -> list[Clause]:
    """Split the header into its clauses, best first. What cannot be read is left out."""
    clauses = [clause for part in accept.split(",") if (clause := _clause(part)) is not None]
    clauses.sort(key=lambda each: (-each.quality, each.type == "*", each.subtype == "*"))
    return clauses


def _clause(part: str) -> Clause | None:
    head, *rest = part.split(";")
    names = [name.strip() for name in head.split("/")]
    if names == ["*"]:
        names = ["*", "*"]
    if len(names) != 2 or not names[1]:
        return None
    quality, parameters = 1.0, {}
    for key, value in _pairs(rest):
        if key == "q":
            quality = _quality(value)
        else:
            parameters[key] = value
    return Clause(names[0], names[1], quality, parameters)


def _pairs(parts: Iterable[str]) -> Iterable[tuple[str, str]]:
    for part in parts:
        key, equals, value = part.partition("=")
        if equals and value and "=" not in value:
            yield key.strip(), value.strip()


def _quality(value: str) -> float:
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if quality == quality else 0.0  # noqa: PLR0124  NaN has no place in an order


def _with_parameters(
    available: str, parameters: dict[str, str], allows: Allows
) -> MediaType | None:
    if parameters.get("sv"):
        return None
    if parameters.get("stream", "watch") not in ("", "watch"):
        return None
    convert = None
    if parameters.keys() & {"as", "g", "v"}:
        get = parameters.get
        convert = Convert(get("as", ""), get("g", ""), get("v", ""))
    if not allows(available, convert):
        return None
    return MediaType(available, convert, parameters.get("pretty") == "1")
