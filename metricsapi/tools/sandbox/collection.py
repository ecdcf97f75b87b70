"""All objects of one kind, in order, and what changed lately."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Literal, NamedTuple

from metricsapi.tools.sandbox.kinds import Kind
from metricsapi.tools.sandbox.record import Key, Record
from metricsapi.tools.sandbox.signals import Signal

Word = Literal["ADDED", "MODIFIED", "DELETED"]
HISTORY = 10_000  # changes of a kind that watches can go on from; up to twice as many are kept


class Change(NamedTuple):
    """One change. `new` is None for what was deleted, `old` for what was added."""

    version: int
    new: Record | None
    old: Record | None


class Collection:
    """The records of one kind by key. Reading them in order costs nothing while none comes."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.records: dict[Key, Record] = {}
        self.version = 0  # that of the last change
        self.changed = Signal()
        self._order: list[Key] = []
        self._unsorted = False
        self._removed: set[Key] = set()
        self._history: list[Change] = []
        self._forgotten = 0  # the version up to which changes are no longer known

    def put(self, record: Record) -> None:
        """Add a record or replace the one of the same key."""
        key = record.key
        old = self.records.get(key)
        if old is None:
            if key in self._removed:
                self._removed.discard(key)
            else:
                self._order.append(key)
                self._unsorted = True
        self.records[key] = record
        self._note(Change(record.version, record, old))

    def remove(self, key: Key, version: int) -> None:
        """Remove the record of this key."""
        old = self.records.pop(key)
        self._removed.add(key)
        self._note(Change(version, None, old))

    def ordered(self, namespace: str | None = None) -> list[Record]:
        """Return the records by namespace and name, of one namespace or of all."""
        if self._removed:
            self._order = [key for key in self._order if key not in self._removed]
            self._removed.clear()
        if self._unsorted:
            self._order.sort()
            self._unsorted = False
        order = self._order
        if namespace is not None:
            first = bisect_left(order, (namespace, ""))
            order = order[first : bisect_left(order, (namespace + "\0", ""), first)]
        return [self.records[key] for key in order]

    def changes_after(self, version: int) -> list[Change] | None:
        """Return the changes after a version; None when not all of them are known any more."""
        if version < self._forgotten:
            return None
        first = bisect_right(self._history, version, key=lambda change: change.version)
        return self._history[first:]

    def forget_changes(self) -> None:
        """Expire every version before now, as compaction does."""
        self._history.clear()
        self._forgotten = self.version

    def _note(self, change: Change) -> None:
        self.version = change.version
        self._history.append(change)
        if len(self._history) > 2 * HISTORY:
            self._forgotten = self._history[HISTORY - 1].version
            del self._history[:HISTORY]
        self.changed.wake()
