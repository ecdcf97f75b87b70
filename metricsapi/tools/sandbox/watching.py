"""Watches: every change of a kind as a line, from a version on, with bookmarks."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from metricsapi.tools.sandbox.collection import Change, Collection, Word
from metricsapi.tools.sandbox.outages import Outages
from metricsapi.tools.sandbox.record import Record, record
from metricsapi.tools.sandbox.responses import METADATA, METADATA_LIST, requested_shape, status_body
from metricsapi.tools.sandbox.selecting import Test
from metricsapi.tools.sandbox.state import Cluster
from metricsapi.tools.sandbox.tables import included, table

BOOKMARK_EVERY = 60.0  # seconds
_TRUE = ("true", "1")
_INITIAL_END = {"k8s.io/initial-events-end": "true"}


@dataclass(frozen=True)
class Parameters:
    """The parameters of a watch. `version` is None where it begins with the present objects."""

    version: int | None
    bookmarks: bool
    seconds: float  # until the server ends it
    initial: bool  # a bookmark ends the present objects
    shape: str  # METADATA alone, "Table" of one row each, or empty
    include: str  # what is in the rows of Tables beside their cells

    @classmethod
    def of(cls, query: Mapping[str, str], accept: str) -> Parameters:
        """Read the parameters of a request. Raises ValueError when one is no number."""
        version = int(query.get("resourceVersion") or 0)
        initial = query.get("sendInitialEvents") in _TRUE
        return cls(
            None if initial or not version else version,
            query.get("allowWatchBookmarks") in _TRUE,
            float(query.get("timeoutSeconds") or 3600.0),
            initial,
            requested_shape(accept),
            included(query.get("includeObject", "") if requested_shape(accept) == "Table" else ""),
        )


class Watch:
    """One watch of one kind; `lines` is its body."""

    def __init__(
        self,
        cluster: Cluster,
        collection: Collection,
        parameters: Parameters,
        wanted: Test,
        outages: Outages,
    ) -> None:
        self._cluster = cluster
        self._collection = collection
        self._parameters = parameters
        self._wanted = wanted
        self._outages = outages
        self._headers = True  # the first Table of a watch tells the columns, also in a bookmark

    async def lines(self, bookmark_every: float) -> AsyncIterator[bytes]:
        """Yield lines until its time is over, or its version has expired."""
        now = time.monotonic()
        ends, bookmark_at = now + self._parameters.seconds, now + bookmark_every
        version = self._parameters.version
        while (now := time.monotonic()) < ends:
            if self._outages.silent:
                await self._cluster.wait_change(ends - now, self._collection.kind.plural)
                continue
            if last_line := self._last_line(version):
                yield last_line
                return
            version, lines = self._initial() if version is None else self._after(version)
            if lines and self._parameters.shape == METADATA_LIST:
                return  # as kube-apiserver does: no event is a list, and it says so in its log only
            if self._parameters.bookmarks and now >= bookmark_at:
                bookmark_at = now + bookmark_every
                lines += self._bookmark(version)
            if lines:
                yield lines
            else:
                wait = min(ends, bookmark_at) - now if self._parameters.bookmarks else ends - now
                await self._cluster.wait_change(wait, self._collection.kind.plural)
        if self._parameters.bookmarks and version and not self._outages.silent:
            yield self._bookmark(version)

    def _last_line(self, version: int | None) -> bytes:
        """Return the line that ends the watch, if it cannot go on from a version."""
        if self._outages.truncated:
            return b'{"type":"MODIFIED","object":{"kind":"'
        if not version and not self._outages.expired:
            return b""
        version = version or 0
        if self._outages.expired or self._collection.changes_after(version) is None:
            return _encoded("ERROR", status_body(410, f"too old resource version: {version}"))
        current = self._cluster.version
        if version > current:
            message = f"Too large resource version: {version}, current: {current}"
            return _encoded("ERROR", status_body(504, message))
        return b""

    def _after(self, version: int) -> tuple[int, bytes]:
        """Return the current version, and the lines of what changed since a version."""
        changes = self._collection.changes_after(version) or ()
        return self._cluster.version, b"".join([self._line(change) for change in changes])

    def _initial(self) -> tuple[int, bytes]:
        """Return the current version, and the present objects as additions."""
        records = [record for record in self._collection.ordered() if self._wanted(record)]
        version = self._cluster.version
        lines = b"".join([self._event("ADDED", record) for record in records])
        if self._parameters.initial:
            lines += self._bookmark(version, _INITIAL_END)
        return version, lines

    def _line(self, change: Change) -> bytes:
        """Return a change as seen through the selectors; what leaves them is deleted."""
        before = change.old is not None and self._wanted(change.old)
        if change.new is not None and self._wanted(change.new):
            return self._event("MODIFIED" if before else "ADDED", change.new)
        if not before or change.old is None:
            return b""
        return self._event("DELETED", self._deleted(change.old, change.version))

    def _deleted(self, old: Record, version: int) -> Record:
        """Return what an object was, with the version of its deletion."""
        item = old.object()
        item["metadata"]["resourceVersion"] = str(version)
        return record(self._collection.kind, item, version)

    def _event(self, word: Word | Literal["BOOKMARK"], record: Record) -> bytes:
        shown = record.partial if self._parameters.shape == METADATA else record.json
        if self._parameters.shape == "Table":
            shown = table(
                self._collection.kind.plural,
                [record],
                {"resourceVersion": str(record.version)},
                self._parameters.include,
                headers=self._headers,
            )
            self._headers = False
        return b'{"type":"%b","object":%b}\n' % (word.encode(), shown)

    def _bookmark(self, version: int, annotations: dict[str, str] | None = None) -> bytes:
        metadata: dict[str, Any] = {"resourceVersion": str(version), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        kind = self._collection.kind
        return self._event("BOOKMARK", record(kind, {"metadata": metadata}, version))


def _encoded(word: str, item: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"type": word, "object": item}) + b"\n"
