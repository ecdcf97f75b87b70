"""All nodes or all pods, sorted by namespace and name: what a list request selects from.

The order is kept as informer events come in, so that no request sorts or scans all objects.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from metricsapi.api.batches import Batches, in_batches
from metricsapi.api.entries import UNUSED, Entry, Namespace, Sorted
from metricsapi.kube.resources import Node, Pod
from metricsapi.kube.selectors import IN, Conditions, Requirement

T = TypeVar("T", Node, Pod)
# Requirements of a selector that may make an index, which reads all labels of a namespace: those of
# workloads have one to three, and others may have thousands.
INDEXED = 4


@dataclass(frozen=True)
class Selection:
    """Entries in the order of a list, and the conditions that each of them has yet to meet."""

    batches: Batches[Entry]
    conditions: Conditions

    def keeps(self, entry: Entry) -> bool:
        """Return whether an entry meets the conditions."""
        return self.conditions.met_by(entry.object.labels)


class Objects(Generic[T]):
    """All nodes or all pods, by namespace."""

    def __init__(self) -> None:
        self.namespaces: dict[str, Namespace] = {}
        self._order: list[str] = []
        self._trimmed_at = 0.0

    def changed(self, old: T | None, new: T | None) -> None:
        """Follow an event of an informer: added (None, new), changed, or deleted (old, None)."""
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
        """Return one entry, whether it has usage or not."""
        scope = self.namespaces.get(namespace)
        return scope.entries.get(name) if scope else None

    def count(self) -> int:
        """Return the number of objects, with or without usage."""
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
        """Select entries by label, in one namespace or (None) in all, beyond the key `after`.

        With `name`, only entries of this name are selected. `now` is in monotonic seconds. The
        batches are the caller's own: later events do not change them.
        """
        self._trim(now)
        scopes = self._scopes(namespace, after)
        if name is not None:
            named = self._named(scopes, name, after)
            return Selection(in_batches([named]), Conditions(requirements))
        runs: list[Sequence[Entry]] = []
        indexable = [each for each in requirements if each.operator == IN][:INDEXED]
        unmet = tuple(requirements)
        for scope in scopes:
            run, met = _narrowest(self.namespaces[scope], indexable, now)
            start = bisect_right(run.names, after[1]) if after and after[0] == scope else 0
            runs.append(run.entries[start:] if start else run.entries)
            if len(unmet) == 1 and met is unmet[0]:
                unmet = ()  # the index meets the only condition, in every namespace
        return Selection(in_batches(runs), Conditions(unmet))

    def _scopes(self, namespace: str | None, after: tuple[str, str] | None) -> list[str]:
        """Return the namespaces of a selection, in order: from that of the key `after` on."""
        first, last = 0, len(self._order)
        if namespace is not None:
            first = bisect_left(self._order, namespace)
            last = bisect_right(self._order, namespace)
        if after is not None:
            first = max(first, bisect_left(self._order, after[0]))
        return self._order[first:last]

    def _named(
        self, scopes: Iterable[str], name: str, after: tuple[str, str] | None
    ) -> list[Entry]:
        """Return the entries of one name in these namespaces, beyond the key `after`."""
        return [
            entry
            for scope in scopes
            if (entry := self.namespaces[scope].entries.get(name)) is not None
            and (after is None or (scope, name) > after)
        ]

    def _trim(self, now: float) -> None:
        if now - self._trimmed_at > UNUSED:
            self._trimmed_at = now
            for namespace in self.namespaces.values():
                namespace.trim(now)


def _narrowest(
    namespace: Namespace, indexable: Sequence[Requirement], now: float
) -> tuple[Sorted, Requirement | None]:
    """Return the entries of the index with the fewest, and the condition that they meet."""
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
