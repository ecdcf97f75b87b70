"""Serves lists and single objects: selects entries with usage, encodes them, sends the body."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TypeVar

from metricsapi.api.batches import Batches, after, count, first
from metricsapi.api.continue_token import make_token, read_token
from metricsapi.api.entries import Entry
from metricsapi.api.index import Selection
from metricsapi.api.list_options import Options
from metricsapi.api.queries import Kind, Query, QueryObserver
from metricsapi.api.render import table
from metricsapi.api.render.frame import Frame
from metricsapi.api.render.negotiation import Convert
from metricsapi.api.representations import Page, Request, Shape, list_shape, table_shape, whole
from metricsapi.api.resources import GROUP, PODS, Resource
from metricsapi.api.status import Send, StatusError, bad_request
from metricsapi.api.streaming import send_framed
from metricsapi.kube.field_selectors import NAME, NAMESPACE, FieldCondition, conditions_of
from metricsapi.kube.resources import Pod
from metricsapi.kube.slices import gather
from metricsapi.storage.types import PodUsage

T = TypeVar("T")
SLICE = 0.001  # seconds of work after which the event loop runs other tasks


class Listing:
    """Sends lists and objects. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float], observers: Sequence[QueryObserver]) -> None:
        self._clock = clock
        self._observers = observers

    async def send_one(self, send: Send, request: Request, name: str) -> None:
        """Serve a get of one object. Raises StatusError."""
        resource, convert = request.resource, request.media.convert
        _check_convert(convert, request.options, listed=False)
        query = Query(request.user, request.namespace, "", Kind.SINGLE, name)
        self._note_query(request, query)
        entry = resource.get(request.namespace or "", name, self._clock())
        self._note_sent(query, (entry,))
        body = whole(request, entry)
        await send_framed(send, request.media.type, Frame(body, b"", b""), gzip=request.gzip)

    async def send_list(self, send: Send, request: Request) -> None:
        """Serve a list, or one page of it. Raises StatusError."""
        if request.options.watch:
            name = request.resource.name
            text = f'watch is not supported on resources of kind "{name}.{GROUP}"'
            raise StatusError(405, "MethodNotAllowed", text, {"group": GROUP, "kind": name})
        _check_convert(request.media.convert, request.options, listed=True)
        query = _query(request)
        if not request.options.token:
            self._note_query(request, query)
        page = await self._page(request)
        encode, framed = await self._shape(request, page)
        size = 0

        def work(batch: tuple[Entry, ...]) -> tuple[bytes, ...]:
            nonlocal size
            self._note_sent(query, batch)
            items = tuple(encode(batch))
            size += sum(map(len, items))
            return items

        items = await self._each(work, page.batches)
        frame = framed(size)
        await send_framed(send, request.media.type, frame, items, size, gzip=request.gzip)

    def _note_query(self, request: Request, query: Query) -> None:
        if request.resource.name == PODS:
            for observer in self._observers:
                observer.query_received(query)

    def _note_sent(self, query: Query, entries: Sequence[Entry]) -> None:
        for observer in self._observers:
            observer.entries_sent(query, entries)

    async def _shape(self, request: Request, page: Page) -> Shape:
        if request.media.convert is None or request.media.convert.kind != "Table":
            return list_shape(request, page)
        served = set(table.resources_of(()))
        served.update(*await self._each(table.resources_of, page.batches))
        return table_shape(request, page, [name for name in table.RESOURCES if name in served])

    async def _page(self, request: Request) -> Page:
        """Return the entries with usage that meet every condition, up to the limit."""
        options, resource = request.options, request.resource
        start = None
        if options.token:
            start = read_token(options.token, resource.name, request.namespace)
        selection = _select(request, start, self._clock())
        wanted = filter(selection.keeps, chain.from_iterable(selection.batches))
        await gather(resource.prepare(wanted), SLICE, self._clock)
        conditions = conditions_of(options.fields)
        keep = partial(_listed, resource, selection, conditions, self._clock())
        limit = options.limit
        if not 0 < limit < count(selection.batches):
            return Page(await self._each(keep, selection.batches))
        batches = await self._each(keep, selection.batches, enough=limit + 1)
        if count(batches) <= limit:
            return Page(batches)
        batches = first(batches, limit)
        last = batches[-1][-1]
        token = make_token(resource.name, request.namespace, _key(last))
        remaining = None
        if not options.labels and not options.fields:
            remaining = after(selection.batches, last)
        return Page(batches, token, remaining)

    async def _each(
        self,
        work: Callable[[tuple[Entry, ...]], tuple[T, ...]],
        batches: Batches[Entry],
        enough: int | None = None,
    ) -> Batches[T]:
        """Apply `work` to the batches in slices, until the results have `enough` items together.

        The results are batches, too, none of them empty.
        """
        if len(batches) == 1:  # no longer than a slice, as the lists of autoscalers are
            results = [work(batches[0])]
        else:
            results = await gather(_until(enough, map(work, batches)), SLICE, self._clock)
        return [result for result in results if result]


def _until(enough: int | None, batches: Iterable[tuple[T, ...]]) -> Iterator[tuple[T, ...]]:
    """Yield batches until they have `enough` items together; all of them with None."""
    for batch in batches:
        yield batch
        if enough is not None:
            enough -= len(batch)
            if enough <= 0:
                return


def _namespace(request: Request) -> str | None:
    """Return the only namespace of what is listed, None for all of them."""
    return request.namespace if request.namespace is not None else request.options.namespace


def _query(request: Request) -> Query:
    options = request.options
    kind = Kind.SELECTOR if options.selector else Kind.LIST
    if options.name is not None:
        kind = Kind.SINGLE
    return Query(request.user, _namespace(request), options.selector, kind, options.name)


def _select(request: Request, start: tuple[str, str] | None, now: float) -> Selection:
    options, objects = request.options, request.resource.objects
    return objects.select(
        _namespace(request), options.labels, now=now, name=options.name, after=start
    )


def _listed(
    resource: Resource,
    selection: Selection,
    conditions: Sequence[FieldCondition],
    now: float,
    batch: Sequence[Entry],
) -> tuple[Entry, ...]:
    if selection.conditions:
        batch = [entry for entry in batch if selection.keeps(entry)]
    batch = resource.current(batch, now)
    if conditions:
        batch = [entry for entry in batch if all(_meets(entry, each) for each in conditions)]
    return tuple(batch)


def _meets(entry: Entry, condition: FieldCondition) -> bool:
    if condition.field == NAME:
        value = entry.object.name
    elif condition.field == NAMESPACE:
        value = _key(entry)[0]
    else:
        value = entry.usage.node if isinstance(entry.usage, PodUsage) else ""
    return condition.met_by(value)


def _key(entry: Entry) -> tuple[str, str]:
    listed = entry.object
    return (listed.namespace if isinstance(listed, Pod) else "", listed.name)


def _check_convert(convert: Convert | None, options: Options, *, listed: bool) -> None:
    """Raise StatusError for a conversion that the request does not allow."""
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
