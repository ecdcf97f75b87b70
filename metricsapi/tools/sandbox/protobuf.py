"""Objects that kubectl sends as protobuf: reviews, and those of `kubectl create`, as JSON has them.

A body is `k8s`, a zero, and a `runtime.Unknown` (k8s.io/api, generated.proto).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"


class BadProtobuf(ValueError):
    """What is no protobuf, or of a kind that is read as JSON only."""


@dataclass(frozen=True)
class Field:
    """A field of a message: a string, or with `within` a message; `many` is a repeated one."""

    name: str
    within: Mapping[int, Field] | None = None
    many: bool = False

    def read(self, data: bytes, before: Any) -> Any:
        """Return the field's value after one more occurrence; `before` is None at the first."""
        value = data.decode() if self.within is None else _message(data, self.within)
        return [*(before or ()), value] if self.many else value


@dataclass(frozen=True)
class MapField(Field):
    """A map of strings; with `binary` its values are bytes, which JSON has in base64."""

    binary: bool = False

    def read(self, data: bytes, before: Any) -> Any:
        entry = dict(_fields(data))
        value = entry.get(2, b"")
        text = base64.b64encode(value).decode() if self.binary else value.decode()
        return {**(before or {}), entry.get(1, b"").decode(): text}


Fields = Mapping[int, Field]


def _strings(*names: str, many: bool = False) -> dict[int, Field]:
    return {number: Field(name, many=many) for number, name in enumerate(names, 1)}


_TYPE_META = _strings("apiVersion", "kind")
_METADATA = Field(
    "metadata",
    {
        **_strings("name", "generateName", "namespace"),
        11: MapField("labels"),
        12: MapField("annotations"),
    },
)
_RESOURCE = _strings("namespace", "verb", "group", "version", "resource", "subresource", "name")
_ATTRIBUTES = {
    1: Field("resourceAttributes", _RESOURCE),
    2: Field("nonResourceAttributes", _strings("path", "verb")),
}
_RULE = _strings("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs", many=True)
_ROLE = {1: _METADATA, 2: Field("rules", _RULE, many=True)}
_BINDING = {
    1: _METADATA,
    2: Field("subjects", _strings("kind", "apiGroup", "name", "namespace"), many=True),
    3: Field("roleRef", _strings("apiGroup", "kind", "name")),
}
_KINDS: dict[str, Fields] = {
    "SelfSubjectAccessReview": {2: Field("spec", _ATTRIBUTES)},
    "SelfSubjectRulesReview": {2: Field("spec", _strings("namespace"))},
    "SelfSubjectReview": {},
    "Namespace": {1: _METADATA},
    "ServiceAccount": {1: _METADATA},
    "ConfigMap": {1: _METADATA, 2: MapField("data"), 3: MapField("binaryData", binary=True)},
    "Secret": {
        1: _METADATA,
        2: MapField("data", binary=True),
        3: Field("type"),
        4: MapField("stringData"),
    },
    "Role": _ROLE,
    "ClusterRole": _ROLE,
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
}


def object_from(body: bytes) -> dict[str, Any]:
    """Return the object as its JSON would be. Raises BadProtobuf."""
    if not body.startswith(_MAGIC):
        raise BadProtobuf("the body does not begin as Kubernetes' protobuf does")
    try:
        unknown = dict(_fields(body.removeprefix(_MAGIC)))
        meta = _message(unknown.get(1, b""), _TYPE_META)
        kind = meta.get("kind", "")
        if kind not in _KINDS:
            raise BadProtobuf(
                f"the sandbox reads {kind or 'this kind'} as JSON only: kubectl apply -f FILE"
            )
        return {**meta, **_message(unknown.get(2, b""), _KINDS[kind])}
    except UnicodeDecodeError as error:
        raise BadProtobuf(f"a string is not UTF-8: {error}") from error


def _message(data: bytes, known: Fields) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for number, value in _fields(data):
        field = known.get(number)
        if field is not None and (value or field.within is not None):  # Go writes empty strings too
            values[field.name] = field.read(value, values.get(field.name))
    return values


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
