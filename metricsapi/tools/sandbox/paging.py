"""Lists, whole or in pages that all show one moment, in the requested form."""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from metricsapi.tools.sandbox.collection import Collection
from metricsapi.tools.sandbox.record import Record
from metricsapi.tools.sandbox.responses import (
    METADATA,
    METADATA_LIST,
    encoded,
    requested_shape,
    status,
    wrong_shape,
)
from metricsapi.tools.sandbox.selecting import Test
from metricsapi.tools.sandbox.tables import included, table

SNAPSHOTS = 16  # unfinished paged lists that can be gone on with
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter."
)


class _Token(msgspec.Struct):
    snapshot: int
    start: int


class Expired(Exception):
    """The rest of a list is no longer known."""


class Lists:
    """Serves lists; of a list that is read in pages it keeps the rest for the next page."""

    def __init__(self) -> None:
        self._snapshots: OrderedDict[int, tuple[int, Sequence[Record]]] = OrderedDict()
        self._last = 0

    def expire(self) -> None:
        """Forget the rest of every list, as compaction does."""
        self._snapshots.clear()

    def respond(
        self, request: Request, collection: Collection, version: int, wanted: Test
    ) -> Response:
        """Return a list or a page; `version` is the cluster's. 410 when the page is too old."""
        query = request.query_params
        try:
            limit = int(query.get("limit") or 0)
        except ValueError:
            return status(400, f"invalid limit {query['limit']!r}")
        try:
            page = self._page(collection, version, wanted, query.get("continue"), limit)
        except Expired:
            return status(410, _TOO_OLD)
        return listed(collection, request, *page)

    def _page(
        self, collection: Collection, version: int, wanted: Test, token: str | None, limit: int
    ) -> tuple[Sequence[Record], dict[str, Any]]:
        """Return the records of a page and the list's metadata. Raises Expired."""
        snapshot = start = 0
        records: Sequence[Record]
        if token:
            snapshot, start = _read(token)
            if snapshot not in self._snapshots:
                raise Expired
            version, records = self._snapshots[snapshot]
        else:
            records = [record for record in collection.ordered() if wanted(record)]
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        end = start + limit if limit else len(records)
        if end < len(records):
            if not snapshot:
                self._last = snapshot = self._last + 1
                self._snapshots[snapshot] = version, records
                if len(self._snapshots) > SNAPSHOTS:
                    self._snapshots.popitem(last=False)
            metadata["continue"] = _written(_Token(snapshot, end))
            metadata["remainingItemCount"] = len(records) - end
        elif snapshot:
            del self._snapshots[snapshot]
        return records[start:end], metadata


def listed(
    collection: Collection, request: Request, records: Sequence[Record], metadata: dict[str, Any]
) -> Response:
    """Return a list in the form that the request asks for."""
    kind = collection.kind
    shape = requested_shape(request.headers.get("accept", ""))
    if shape == "Table":
        include = included(request.query_params.get("includeObject", ""))
        return encoded(table(kind.plural, records, metadata, include))
    if shape == METADATA:
        return wrong_shape(shape, f"is a list (*core.{kind.kind}List)")
    if shape == METADATA_LIST:
        head, items = ("PartialObjectMetadataList", "meta.k8s.io/v1"), [r.partial for r in records]
    else:
        head, items = (f"{kind.kind}List", kind.api_version), [r.json for r in records]
    head_json = msgspec.json.encode({"kind": head[0], "apiVersion": head[1], "metadata": metadata})
    return encoded(b'%b,"items":[%b]}' % (head_json[:-1], b",".join(items)))


def _written(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _read(text: str) -> tuple[int, int]:
    try:
        padded = text + "=" * (-len(text) % 4)
        token = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Token)
    except (binascii.Error, msgspec.DecodeError, UnicodeError) as error:
        raise Expired from error
    return token.snapshot, token.start
