"""The nodes or pods of one namespace, sorted by name and indexed by label."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Set as AbstractSet
from typing import Protocol

from msgspec import Struct

from metricsapi.kube.resources import Node, Pod
from metricsapi.storage.types import NodeUsage, PodUsage

INDEXES = 16  # label keys indexed in one namespace, at most
UNUSED = 600.0  # seconds after which an index that no request used is dropped


class StoredPod(Protocol):
    """What the store keeps of one pod, as long as it is `shown`."""

    shown: bool
    since: float  # its usage is current until the store's `max_age` after this, monotonic seconds
    usage: PodUsage | None  # None: not made since the last reading

    def make_usage(self) -> PodUsage | None: ...


class Entry(Struct, gc=False, eq=False):
    """One node or pod, and its encodings of one usage.

    `json` and `protobuf` are items of lists and hold for `usage` (compared by identity); they
    are made at the first use. `stored` is where the store keeps a pod's usage.
    """

    object: Node | Pod
    usage: NodeUsage | PodUsage | None = None
    json: bytes | None = None
    protobuf: bytes | None = None
    stored: StoredPod | None = None


class Sorted:
    """Entries of one namespace in the order of their names."""

    __slots__ = ("entries", "names")

    def __init__(self) -> None:
        self.names: list[str] = []
        self.entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        name = entry.object.name
        if not self.names or name > self.names[-1]:  # as lists of API servers come
            self.names.append(name)
            self.entries.append(entry)
            return
        at = bisect_left(self.names, name)
        self.names.insert(at, name)
        self.entries.insert(at, entry)

    def remove(self, name: str) -> None:
        at = bisect_left(self.names, name)
        if at < len(self.names) and self.names[at] == name:
            del self.names[at], self.entries[at]


class _Index(Struct):
    """The entries of one namespace by the value of one label."""

    used_at: float  # monotonic seconds
    values: dict[str, Sorted]


class Namespace:
    """The nodes or pods of one namespace; nodes are in the namespace with the empty name."""

    __slots__ = ("entries", "indexes", "sorted")

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.sorted = Sorted()
        self.indexes: dict[str, _Index] = {}

    def set(self, name: str, new: Node | Pod | None) -> None:
        """Store the object of this name as it is now; None when it is gone."""
        entry = self.entries.get(name)
        if entry is not None:
            self._unindex(entry)
            if new is None:
                del self.entries[name]
                self.sorted.remove(name)
                return
            # Its usage stays: a list that is being made may be about to encode it.
            entry.object, entry.json, entry.protobuf = new, None, None
        elif new is None:
            return
        else:
            entry = self.entries[name] = Entry(new)
            self.sorted.add(entry)
        for key, index in self.indexes.items():
            if (value := new.labels.get(key)) is not None:
                index.values.setdefault(value, Sorted()).add(entry)

    def _unindex(self, entry: Entry) -> None:
        labels, name = entry.object.labels, entry.object.name
        for key, index in self.indexes.items():
            value = labels.get(key)
            if value is not None and (run := index.values.get(value)) is not None:
                run.remove(name)
                if not run.names:
                    del index.values[value]

    def by_label(self, key: str, values: AbstractSet[str], now: float) -> list[Sorted]:
        """Return the entries whose label `key` is one of `values`: one run for each value."""
        index = self.indexes.get(key)
        if index is None:
            index = self._make_index(key, now)
        index.used_at = now
        return [index.values[value] for value in values & index.values.keys()]

    def _make_index(self, key: str, now: float) -> _Index:
        self.trim(now)
        if len(self.indexes) >= INDEXES:
            del self.indexes[min(self.indexes, key=lambda label: self.indexes[label].used_at)]
        index = self.indexes[key] = _Index(now, {})
        for entry in self.sorted.entries:
            if (value := entry.object.labels.get(key)) is not None:
                index.values.setdefault(value, Sorted()).add(entry)
        return index

    def trim(self, now: float) -> None:
        """Drop the indexes that no request has used for `UNUSED` seconds."""
        for key in [k for k, index in self.indexes.items() if now - index.used_at > UNUSED]:
            del self.indexes[key]
