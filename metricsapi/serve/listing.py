"""Lists and single objects, from the catalog to the client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from metricsapi.kube.fields import NAME, NAMESPACE, FieldTerm
from metricsapi.kube.objects import Pod
from metricsapi.samples import PodUsage
from metricsapi.serve.catalog import Entry, Selection
from metricsapi.serve.options import Options
from metricsapi.serve.paging import make_token, read_token
from metricsapi.serve.render import frame, json, protobuf, table
from metricsapi.serve.render.frame import Frame
from metricsapi.serve.render.negotiation import JSON, PROTOBUF, Convert, MediaType
from metricsapi.serve.resource import GROUP, Resource
from metricsapi.serve.sending import send_framed
from metricsapi.serve.status import Send, StatusError, bad_request

BATCH = 256  # entries that are looked at in one go
PATIENCE = 0.004  # seconds that the loop may be held


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, read and agreed on. `namespace` None means all of them."""

    resource: Resource
    api_version: str
    namespace: str | None
    options: Options
    media: MediaType
    pretty: bool
    gzip: bool


@dataclass(frozen=True, slots=True)
class _Page:
    entries: list[Entry]
    token: str = ""
    remaining: int | None = None


class Listing:
    """Sends lists and objects. `clock` gives monotonic seconds; `observe` is told what is sent."""

    def __init__(
        self, clock: Callable[[], float], observe: Callable[[Sequence[Entry]], None]
    ) -> None:
        self._clock = clock
        self._observe = observe

    async def send_one(self, send: Send, request: Request, name: str) -> None:
        """Answer a request for one object; raises StatusError."""
        resource, convert = request.resource, request.media.convert
        _check_convert(convert, request.options, listed=False)
        entry = resource.one(request.namespace or "", name, self._clock())
        self._observe((entry,))
        body = _whole(request, entry)
        await send_framed(send, request.media.type, Frame(body, b"", b""), (), gzip=request.gzip)

    async def send_list(self, send: Send, request: Request) -> None:
        """Answer a request for a list; raises StatusError."""
        if request.options.watch:
            name = request.resource.name
            text = f'watch is not supported on resources of kind "{name}.{GROUP}"'
            raise StatusError(405, "MethodNotAllowed", text, {"group": GROUP, "kind": name})
        _check_convert(request.media.convert, request.options, listed=True)
        page = await self._page(request)
        encode, framed = _shape(request, page)

        def work(batch: list[Entry]) -> list[bytes]:
            self._observe(batch)
            return [encode(one) for one in batch]

        items = await self._in_batches(work, page.entries)
        await send_framed(send, request.media.type, framed(items), items, gzip=request.gzip)

    async def _page(self, request: Request) -> _Page:
        """Find what is listed: entries with usage that fulfil every condition, up to the limit."""
        options, resource = request.options, request.resource
        after = None
        if options.token:
            after = read_token(options.token, resource.name, request.namespace)
        selection = _select(request, after, self._clock())
        look = partial(_listed, resource, selection, options.fields, self._clock())
        limit = options.limit
        if not 0 < limit < len(selection.entries):
            return _Page(await self._in_batches(look, selection.entries))
        found = await self._in_batches(look, selection.entries, enough=limit + 1)
        if len(found) <= limit:
            return _Page(found)
        del found[limit:]
        last = found[-1]
        token = make_token(resource.name, request.namespace, _key(last))
        remaining = None
        if not options.labels and not options.fields:
            remaining = len(selection.entries) - selection.entries.index(last) - 1
        return _Page(found, token, remaining)

    async def _in_batches(
        self, work: Callable[[list[Any]], list[Any]], entries: list[Any], enough: int = 2**63
    ) -> list[Any]:
        """Do work on entries, letting the loop run other tasks from time to time."""
        if len(entries) <= BATCH:
            return work(entries)
        found: list[Any] = []
        began = self._clock()
        for at in range(0, len(entries), BATCH):
            found += work(entries[at : at + BATCH])
            if len(found) >= enough:
                break
            if self._clock() - began > PATIENCE:
                await asyncio.sleep(0)
                began = self._clock()
        return found


def _select(request: Request, after: tuple[str, str] | None, now: float) -> Selection:
    namespace, name = request.namespace, None
    for term in request.options.fields:
        if term.field == NAME and not term.negated:
            name = term.value
        elif term.field == NAMESPACE and not term.negated and namespace is None:
            namespace = term.value
    objects = request.resource.objects
    return objects.select(namespace, request.options.labels, now=now, name=name, after=after)


def _listed(
    resource: Resource,
    selection: Selection,
    terms: Sequence[FieldTerm],
    now: float,
    batch: list[Entry],
) -> list[Entry]:
    if selection.requirements:
        batch = [entry for entry in batch if selection.keeps(entry)]
    batch = resource.current(batch, now)
    if terms:
        batch = [entry for entry in batch if all(_fulfils(entry, term) for term in terms)]
    return batch


def _fulfils(entry: Entry, term: FieldTerm) -> bool:
    if term.field == NAME:
        value = entry.object.name
    elif term.field == NAMESPACE:
        value = _key(entry)[0]
    else:
        value = entry.usage.node if isinstance(entry.usage, PodUsage) else ""
    return (value == term.value) is not term.negated


def _key(entry: Entry) -> tuple[str, str]:
    one = entry.object
    return (one.namespace if isinstance(one, Pod) else "", one.name)


def _check_convert(convert: Convert | None, options: Options, *, listed: bool) -> None:
    """Refuse conversions that do not go with what is asked for."""
    if convert is None:
        return
    if convert.kind == "Table":
        include = options.include_object
        if include not in ("", "None", "Metadata", "Object"):
            raise bad_request(
                "Unable to convert to Table as requested: includeObject: Invalid value: "
                f"\"{include}\": must be 'Metadata', 'Object', 'None', or empty"
            )
    elif (convert.kind == "PartialObjectMetadataList") is not listed:
        is_list = "is a list" if listed else "is not a list"
        text = f"you requested {convert.kind}, but the requested object {is_list}"
        raise StatusError(406, "NotAcceptable", text, {})


def _whole(request: Request, entry: Entry) -> bytes:
    """Give the body of an answer with one object."""
    resource, media = request.resource, request.media
    if media.type == PROTOBUF:
        if media.convert is not None:
            raw = protobuf.message(1, _protobuf_metadata(entry))
            version = f"{media.convert.group}/{media.convert.version}"
            return protobuf.whole(version, "PartialObjectMetadata", raw)
        raw = protobuf.raw(resource.protobuf(entry))
        return protobuf.whole(request.api_version, resource.kind, raw)
    style = frame.style_of(media, pretty=request.pretty)
    if media.convert is None:
        return frame.whole(
            style, json.single(resource.json(entry), request.api_version, resource.kind)
        )
    if media.convert.kind != "Table":
        return frame.whole(style, table.partial(entry, media.convert.version))
    encode, framed = _table(request, _Page([entry]), media.convert, style)
    item = encode(entry)
    around = framed([item])
    return around.head + item + around.tail


_Shape = tuple[Callable[[Entry], bytes], Callable[[list[bytes]], Frame]]


def _shape(request: Request, page: _Page) -> _Shape:
    """Give how an entry of a list is encoded, and how a list is framed."""
    resource, media, convert = request.resource, request.media, request.media.convert
    if media.type == PROTOBUF:
        return _protobuf(request, page, convert)
    style = frame.style_of(media, pretty=request.pretty)
    if convert is not None and convert.kind == "Table":
        return _table(request, page, convert, style)
    encode: Callable[[Entry], bytes] = resource.json
    kind, version = f"{resource.kind}List", request.api_version
    if convert is not None:
        encode = partial(table.partial, version=convert.version)
        kind, version = convert.kind, f"{convert.group}/{convert.version}"
    fields = {"kind": kind, "apiVersion": version, "metadata": _meta(page)}
    return _styled(style, encode), lambda items: frame.list_frame(
        style, fields, "items", empty=not items
    )


def _protobuf(request: Request, page: _Page, convert: Convert | None) -> _Shape:
    resource = request.resource
    encode: Callable[[Entry], bytes] = resource.protobuf
    kind, version = f"{resource.kind}List", request.api_version
    if convert is not None:
        encode, kind = _protobuf_partial, convert.kind
        version = f"{convert.group}/{convert.version}"
    return encode, lambda items: frame.protobuf_frame(
        version, kind, sum(map(len, items)), page.token, page.remaining
    )


def _table(request: Request, page: _Page, convert: Convert, style: str) -> _Shape:
    names = table.resources_of(page.entries)
    include = request.options.include_object
    shown: Callable[[Entry], bytes] = partial(table.partial, version=convert.version)
    if include == "None":
        shown = table.nothing
    elif include == "Object":
        resource, version = request.resource, request.api_version
        shown = lambda entry: json.single(resource.json(entry), version, resource.kind)  # noqa: E731
    fields = {
        "kind": "Table",
        "apiVersion": f"{convert.group}/{convert.version}",
        "metadata": _meta(page),
        "columnDefinitions": table.columns(names),
    }
    return _styled(
        style, partial(table.row, names=names, shown=shown)
    ), lambda items: frame.list_frame(style, fields, "rows", empty=not items)


def _styled(style: str, encode: Callable[[Entry], bytes]) -> Callable[[Entry], bytes]:
    if style == JSON:
        return encode
    return lambda entry: frame.list_item(style, encode(entry))


def _meta(page: _Page) -> dict[str, Any]:
    return frame.list_meta(page.token, page.remaining)


def _protobuf_metadata(entry: Entry) -> bytes:
    assert entry.usage is not None  # noqa: S101  only entries with usage are listed
    return protobuf.metadata(entry.object, entry.usage.timestamp)


def _protobuf_partial(entry: Entry) -> bytes:
    return protobuf.message(2, protobuf.message(1, _protobuf_metadata(entry)))
