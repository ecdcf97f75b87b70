"""Reviews in protobuf, which kubectl sends for `auth can-i` and `auth whoami`, as JSON has them.

The bodies are `k8s`, a zero, and a `runtime.Unknown` (k8s.io/api, generated.proto).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
# Each field by its number: its name, and its message's fields unless it is a string.
Fields = Mapping[int, tuple[str, "Fields | None"]]
_RESOURCE: Fields = {
    number: (name, None)
    for number, name in enumerate(
        ("namespace", "verb", "group", "version", "resource", "subresource", "name"), 1
    )
}
_ATTRIBUTES: Fields = {
    1: ("resourceAttributes", _RESOURCE),
    2: ("nonResourceAttributes", {1: ("path", None), 2: ("verb", None)}),
}
_SPECS: dict[str, Fields] = {
    "SelfSubjectAccessReview": _ATTRIBUTES,
    "SelfSubjectRulesReview": {1: ("namespace", None)},
    "SelfSubjectReview": {},
}
_TYPE_META: Fields = {1: ("apiVersion", None), 2: ("kind", None)}


class BadProtobuf(ValueError):
    """What is no protobuf, or of a kind that is read as JSON only."""


def review_from(body: bytes) -> dict[str, Any]:
    """Give the review as its JSON would be. Raises BadProtobuf."""
    if not body.startswith(_MAGIC):
        raise BadProtobuf("the body does not begin as Kubernetes' protobuf does")
    unknown = dict(_fields(body.removeprefix(_MAGIC)))
    meta = _message(unknown.get(1, b""), _TYPE_META)
    kind = meta.get("kind", "")
    if kind not in _SPECS:
        raise BadProtobuf(f"{kind or 'this kind'} is read as JSON only")
    within = {} if kind == "SelfSubjectReview" else {2: ("spec", _SPECS[kind])}
    return {**meta, **_message(unknown.get(2, b""), within)}


def _message(data: bytes, known: Fields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _fields(data):
        if number in known:
            name, within = known[number]
            found[name] = value.decode() if within is None else _message(value, within)
    return found


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the length-delimited fields of a message; numbers are skipped."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            _, at = _varint(data, at)
        elif key & 7 == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise BadProtobuf("a field ends after its message")
            yield key >> 3, data[at : at + size]
            at += size
        else:
            raise BadProtobuf(f"unexpected wire type {key & 7}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for at_byte in range(at, min(at + 10, len(data))):
        value |= (data[at_byte] & 0x7F) << shift
        shift += 7
        if data[at_byte] < 0x80:
            return value, at_byte + 1
    raise BadProtobuf("a number has no end")
