"""Nodes or pods sorted by namespace and name, and indexed by label.

Both are kept as informer events come in, so that no request sorts or scans all objects.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from metricsapi.api.batches import Batches, in_batches
from metricsapi.kube.resources import Node, Pod
from metricsapi.kube.selectors import IN, Requirement
from metricsapi.storage.types import NodeUsage, PodUsage

INDEXES = 16  # label keys indexed in one namespace, at most
UNUSED = 600.0  # seconds after which an index that no request used is dropped

T = TypeVar("T", Node, Pod)


class StoredPod(Protocol):
    """What the store keeps of one pod, as long as it is `shown`."""

    shown: bool
    since: float  # its usage is current until the store's `max_age` after this, monotonic seconds
    usage: PodUsage | None  # None: not made since the last reading

    def make_usage(self) -> PodUsage | None: ...


class Entry(Struct, gc=False, eq=False):
    """One node or pod, and its encodings of one usage.

    `json` and `protobuf` are items of lists and hold for `usage` (compared by identity); they
    are made when first asked for. `stored` is where the store keeps a pod's usage.
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
        """Take the object of this name as it is now, or None when it is gone."""
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

    def by_label(self, key: str, values: Iterable[str], now: float) -> list[Sorted]:
        """Give the entries whose label `key` is one of `values`: one run for each value."""
        index = self.indexes.get(key)
        if index is None:
            index = self._make_index(key, now)
        index.used_at = now
        return [run for value in values if (run := index.values.get(value)) is not None]

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


@dataclass(frozen=True)
class Selection:
    """Entries in the order of a list, and the conditions that each of them has yet to meet."""

    batches: Batches[Entry]
    requirements: tuple[Requirement, ...] = ()

    def keeps(self, entry: Entry) -> bool:
        """Whether an entry meets the conditions."""
        labels = entry.object.labels
        return all(requirement.matches(labels) for requirement in self.requirements)


class Objects(Generic[T]):
    """All nodes or all pods, by namespace."""

    def __init__(self) -> None:
        self.namespaces: dict[str, Namespace] = {}
        self._order: list[str] = []
        self._trimmed_at = 0.0

    def changed(self, old: T | None, new: T | None) -> None:
        """Take one event of an informer: added (None, new), changed, or deleted (old, None)."""
        changed = new if new is not None else old
        if changed is None:
            return
        name = changed.namespace if isinstance(changed, Pod) else ""
        namespace = self.namespaces.get(name)
        if namespace is None:
            if new is None:
                return
            namespace = self.namespaces[name] = Namespace()
            self._order.insert(bisect_left(self._order, name), name)
        namespace.set(changed.name, new)
        if not namespace.entries:
            del self.namespaces[name]
            del self._order[bisect_left(self._order, name)]

    def get(self, namespace: str, name: str) -> Entry | None:
        """Give one entry, whether it has usage or not."""
        scope = self.namespaces.get(namespace)
        return scope.entries.get(name) if scope else None

    def count(self) -> int:
        """How many objects there are, with or without usage."""
        return sum(len(namespace.entries) for namespace in self.namespaces.values())

    def select(
        self,
        namespace: str | None,
        requirements: Sequence[Requirement],
        *,
        now: float,
        name: str | None = None,
        after: tuple[str, str] | None = None,
    ) -> Selection:
        """Find entries by label, in one namespace or (None) in all, beyond the key `after`.

        With `name`, find no others than those of this name.

        The batches are the caller's own: later events do not change them.
        """
        self._trim(now)
        first, last = 0, len(self._order)
        if namespace is not None:
            first = bisect_left(self._order, namespace)
            last = bisect_right(self._order, namespace)
        if after is not None:
            first = max(first, bisect_left(self._order, after[0]))
        runs: list[Sequence[Entry]] = []
        indexable = [each for each in requirements if each.operator == IN]
        unmet = tuple(requirements)
        for scope in self._order[first:last]:
            if name is not None:
                named = self.namespaces[scope].entries.get(name)
                if named is not None and (after is None or (scope, name) > after):
                    runs.append((named,))
                continue
            run, met = _narrowest(self.namespaces[scope], indexable, now)
            start = bisect_right(run.names, after[1]) if after and after[0] == scope else 0
            runs.append(run.entries[start:] if start else run.entries)
            if len(unmet) == 1 and met is unmet[0]:
                unmet = ()  # the index meets the only condition, in every namespace
        return Selection(in_batches(runs), unmet)

    def _trim(self, now: float) -> None:
        if now - self._trimmed_at > UNUSED:
            self._trimmed_at = now
            for namespace in self.namespaces.values():
                namespace.trim(now)


def _narrowest(
    namespace: Namespace, indexable: Sequence[Requirement], now: float
) -> tuple[Sorted, Requirement | None]:
    """Give the fewest entries that an index has, and the condition that they meet."""
    best, met = namespace.sorted, None
    for requirement in indexable:
        runs = namespace.by_label(requirement.key, requirement.values, now)
        if met is None or sum(len(run.names) for run in runs) < len(best.names):
            best, met = _merged(runs), requirement
    return best, met


def _merged(runs: list[Sorted]) -> Sorted:
    if len(runs) == 1:
        return runs[0]
    merged = Sorted()
    merged.entries = sorted(
        (entry for run in runs for entry in run.entries), key=lambda entry: entry.object.name
    )
    merged.names = [entry.object.name for entry in merged.entries]
    return merged
