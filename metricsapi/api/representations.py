"""Representations of responses: how entries are encoded, and the frame around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from metricsapi.api.batches import Batches
from metricsapi.api.entries import Entry
from metricsapi.api.list_options import Options
from metricsapi.api.render import frame, json, protobuf, table
from metricsapi.api.render.frame import Frame
from metricsapi.api.render.negotiation import JSON, PROTOBUF, Convert, MediaType
from metricsapi.api.resources import Resource

Encode = Callable[[Sequence[Entry]], list[bytes]]
# How entries of a list are encoded, and how it is framed when its items have so many bytes.
Shape = tuple[Encode, Callable[[int], Frame]]


@dataclass(frozen=True, slots=True)
class Request:
    """A request, parsed and negotiated. `namespace` None means all of them."""

    resource: Resource
    api_version: str
    namespace: str | None
    options: Options
    user: str  # the name of the authenticated user
    media: MediaType
    pretty: bool
    gzip: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list: entries with usage, and the token of the next page if there is one."""

    batches: Batches[Entry]
    token: str = ""
    remaining: int | None = None


def whole(request: Request, entry: Entry) -> bytes:
    """Return the body of a response with one object."""
    resource, media = request.resource, request.media
    if media.type == PROTOBUF:
        return _whole_protobuf(request, entry)
    style = frame.style_of(media, pretty=request.pretty)
    if media.convert is None:
        return frame.whole(
            style, json.single(resource.json(entry), request.api_version, resource.kind)
        )
    if media.convert.kind != "Table":
        return frame.whole(style, table.partial(entry, media.convert.version))
    encode, framed = table_shape(request, Page([(entry,)]), table.resources_of([entry]))
    items = encode([entry])
    around = framed(len(items[0]))
    return around.head + items[0] + around.tail


def _whole_protobuf(request: Request, entry: Entry) -> bytes:
    resource, convert = request.resource, request.media.convert
    if convert is None:
        raw = protobuf.raw(resource.protobuf(entry))
        return protobuf.whole(request.api_version, resource.kind, raw)
    raw = protobuf.message(1, _protobuf_metadata(entry))
    return protobuf.whole(f"{convert.group}/{convert.version}", "PartialObjectMetadata", raw)


def list_shape(request: Request, page: Page) -> Shape:
    """Return the shape of a list that is no Table."""
    resource, media, convert = request.resource, request.media, request.media.convert
    if media.type == PROTOBUF:
        return _protobuf_shape(request, page, convert)
    style = frame.style_of(media, pretty=request.pretty)
    encode: Encode = resource.jsons
    kind, version = f"{resource.kind}List", request.api_version
    if convert is not None:
        encode = _each(partial(table.partial, version=convert.version))
        kind, version = convert.kind, f"{convert.group}/{convert.version}"
    fields = {"kind": kind, "apiVersion": version, "metadata": _meta(page)}
    return _styled(style, encode), lambda size: frame.list_frame(
        style, fields, "items", empty=not size
    )


def _protobuf_shape(request: Request, page: Page, convert: Convert | None) -> Shape:
    resource = request.resource
    encode: Encode = resource.protobufs
    kind, version = f"{resource.kind}List", request.api_version
    if convert is not None:
        encode, kind = _each(_protobuf_partial), convert.kind
        version = f"{convert.group}/{convert.version}"
    return encode, lambda size: frame.protobuf_frame(
        version, kind, size, page.token, page.remaining
    )


def table_shape(request: Request, page: Page, names: Sequence[str]) -> Shape:
    """Return the shape of a Table with these resources."""
    convert = request.media.convert
    assert convert is not None  # noqa: S101  a Table is requested by it
    style = frame.style_of(request.media, pretty=request.pretty)
    include = request.options.include_object
    row_object: Callable[[Entry], bytes] = partial(table.partial, version=convert.version)
    if include == "None":
        row_object = table.no_object
    elif include == "Object":
        resource, version = request.resource, request.api_version
        row_object = lambda entry: json.single(resource.json(entry), version, resource.kind)  # noqa: E731
    fields = {
        "kind": "Table",
        "apiVersion": f"{convert.group}/{convert.version}",
        "metadata": _meta(page),
        "columnDefinitions": table.columns(names),
    }
    return _styled(
        style, _each(partial(table.row, names=names, row_object=row_object))
    ), lambda size: frame.list_frame(style, fields, "rows", empty=not size)


def _each(encode: Callable[[Entry], bytes]) -> Encode:
    return lambda entries: [encode(entry) for entry in entries]


def _styled(style: str, encode: Encode) -> Encode:
    if style == JSON:
        return encode
    return lambda entries: [frame.list_item(style, item) for item in encode(entries)]


def _meta(page: Page) -> dict[str, Any]:
    return frame.list_meta(page.token, page.remaining)


def _protobuf_metadata(entry: Entry) -> bytes:
    assert entry.usage is not None  # noqa: S101  only entries with usage are listed
    return protobuf.metadata(entry.object, entry.usage.timestamp)


def _protobuf_partial(entry: Entry) -> bytes:
    return protobuf.message(2, protobuf.message(1, _protobuf_metadata(entry)))
