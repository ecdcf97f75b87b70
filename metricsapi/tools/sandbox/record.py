"""One object as it is stored: encoded once, with the fields that select it beside it.

A pod takes about 0.9 KB in this form and a tenth of the time of decoding it to be listed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from metricsapi.tools.sandbox.kinds import Kind

Object = dict[str, Any]
Key = tuple[str, str]  # namespace (empty for what has none) and name
_PARTIAL = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":'


class _Labels(msgspec.Struct):
    labels: dict[str, str] | None = None


_LABELS = msgspec.json.Decoder(_Labels)
_ANYTHING = msgspec.json.Decoder(Object)


class Record(msgspec.Struct, gc=False, frozen=True):
    """An object's JSON; its metadata is `json[begin:end]`. `phase` and `node` are those of pods."""

    namespace: str
    name: str
    version: int
    json: bytes
    begin: int
    end: int
    phase: str = ""
    node: str = ""

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    @property
    def partial(self) -> bytes:
        """The PartialObjectMetadata of the object."""
        return b"%b%b}" % (_PARTIAL, self.json[self.begin : self.end])

    def object(self) -> Object:
        """Return the object; it is the caller's own."""
        return _ANYTHING.decode(self.json)

    def labels(self) -> dict[str, str]:
        return _LABELS.decode(memoryview(self.json)[self.begin : self.end]).labels or {}

    def field(self, path: str) -> str:
        """Return the text of a field by its path; empty when there is none."""
        match path:
            case "metadata.name":
                return self.name
            case "metadata.namespace":
                return self.namespace
            case "status.phase":
                return self.phase
            case "spec.nodeName":
                return self.node
        value: Any = self.object()
        for step in path.split("."):
            value = value.get(step, "") if isinstance(value, dict) else ""
        return str(value)


def record(kind: Kind, item: Object, version: int) -> Record:
    """Encode an object whose metadata is complete; a bookmark's has no name."""
    metadata = item["metadata"]
    head = f'{{"kind":"{kind.kind}","apiVersion":"{kind.api_version}","metadata":'.encode()
    meta = msgspec.json.encode(metadata)
    rest = {k: v for k, v in item.items() if k not in ("kind", "apiVersion", "metadata")}
    tail = msgspec.json.encode(rest)
    tail = b"," + tail[1:] if rest else b"}"
    return Record(
        metadata.get("namespace", ""),
        metadata.get("name", ""),
        version,
        b"".join((head, meta, tail)),
        len(head),
        len(head) + len(meta),
        sys.intern(_text(item, "status", "phase")),
        sys.intern(_text(item, "spec", "nodeName")),
    )


def _text(item: Object, part: str, name: str) -> str:
    within = item.get(part)
    value = within.get(name) if isinstance(within, dict) else None
    return value if isinstance(value, str) else ""


class Objects(Sequence[Object]):
    """The objects of records, decoded one by one when they are used."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Object]:
        return (each.object() for each in self.records)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Objects(self.records[index])
        return self.records[index].object()
