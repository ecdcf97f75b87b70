"""The bytes of a list or object around its items: before, between and after them.

Indented JSON and YAML are made from compact JSON, item by item, so that no step of a long list
blocks the event loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from metricsapi.api.render import protobuf
from metricsapi.api.render.negotiation import JSON, MediaType
from metricsapi.api.render.yaml import yaml_text

PRETTY = "pretty"


@dataclass(frozen=True)
class Frame:
    """A body is `head`, the items with `separator` between them, `tail`."""

    head: bytes
    separator: bytes
    tail: bytes


def style_of(media: MediaType, *, pretty: bool) -> str:
    """Return the text form of a response: a content type, or `PRETTY` for indented JSON."""
    return PRETTY if media.type == JSON and (pretty or media.pretty) else media.type


def list_frame(style: str, fields: dict[str, Any], key: str, *, empty: bool) -> Frame:
    """Frame a JSON or YAML list: `fields` in order, the last one `key` with the items in it."""
    document = msgspec.json.encode({**fields, key: []})
    if style == JSON:
        head, tail = document[:-2], b"]}\n"
        return Frame(head, b",", tail)
    if style == PRETTY:
        document = msgspec.json.format(document, indent=2)
        if empty:
            return Frame(document, b"", b"")
        head = document[: document.rindex(b"[]")]
        return Frame(head + b"[\n    ", b",\n    ", b"\n  ]\n}")
    text = yaml_text(msgspec.json.decode(document))
    if empty:
        return Frame(text, b"", b"")
    head, _, tail = text.partition(b"%b: []\n" % key.encode())
    return Frame(b"%b%b:\n" % (head, key.encode()), b"", tail)


def list_item(style: str, item: bytes) -> bytes:
    """Return an item, compact JSON, in the style of its list."""
    if style == PRETTY:
        return msgspec.json.format(item, indent=2).replace(b"\n", b"\n    ")
    if style != JSON:
        return yaml_text([msgspec.json.decode(item)])
    return item


def whole(style: str, document: bytes) -> bytes:
    """Return a single object, compact JSON, as it is sent."""
    if style == JSON:
        return document + b"\n"
    if style == PRETTY:
        return msgspec.json.format(document, indent=2)
    return yaml_text(msgspec.json.decode(document))


def list_meta(token: str, remaining: int | None) -> dict[str, Any]:
    """Return the `metadata` of a list."""
    more = {"remainingItemCount": remaining} if remaining is not None else {}
    return {"continue": token, **more} if token else {}


def protobuf_frame(
    api_version: str, kind: str, size: int, token: str = "", remaining: int | None = None
) -> Frame:
    """Frame a protobuf list whose items are `size` bytes together."""
    head, tail = protobuf.unknown(api_version, kind)
    meta = protobuf.message(1, protobuf.list_meta(token, remaining if token else None))
    return Frame(head + protobuf.varint(size + len(meta)) + meta, b"", tail)
