"""All objects of the embedded cluster, by resource."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from metricsapi.tools.sandbox.collection import Collection
from metricsapi.tools.sandbox.kinds import BY_KIND, BY_PLURAL, KINDS, Kind
from metricsapi.tools.sandbox.record import Object, Objects, record
from metricsapi.tools.sandbox.signals import Signal

__all__ = ["BY_KIND", "BY_PLURAL", "KINDS", "Cluster", "Conflict", "Kind", "Object", "timestamp"]

T = TypeVar("T")
DERIVED = 10_000  # values derived from objects that are kept


class Conflict(Exception):
    """The object has changed since the version that the caller names."""


class Cluster:
    """The objects, by kind and by (namespace, name). Every change has a version of its own.

    Objects are kept encoded: what `get` and `list` return is the caller's own.
    """

    def __init__(self) -> None:
        self.version = 1
        self.collections = {kind.plural: Collection(kind) for kind in KINDS}
        self._changed = Signal()
        self._derived: dict[Any, tuple[int, Any]] = {}

    def list(self, plural: str, namespace: str | None = None) -> Sequence[Object]:
        """Return the objects of a kind by namespace and name, decoded when they are looked at."""
        return Objects(self.collections[plural].ordered(namespace))

    def get(self, plural: str, name: str, namespace: str = "") -> Object | None:
        known = self.collections[plural].records.get((namespace, name))
        return known.object() if known else None

    def apply(self, plural: str, item: Object) -> Object:
        """Create or replace an object; return it with its metadata complete.

        One that is new has the uid that it names, as the kubelets here have it, or a random one.
        Raises Conflict when it names a version or a uid that is not the current one.
        """
        collection = self.collections[plural]
        metadata = {**item.get("metadata", {})}
        key = (metadata.get("namespace", ""), metadata["name"])
        old = collection.records.get(key)
        before = old.object()["metadata"] if old else {}
        self._compare(plural, metadata, before)
        metadata["uid"] = before.get("uid") or metadata.get("uid") or _uid()
        metadata["creationTimestamp"] = before.get("creationTimestamp") or timestamp(time.time())
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        kind = collection.kind
        if kind.phase and not item.get("status"):
            item = {**item, "status": {"phase": kind.phase}}
        whole = {**item, "kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
        collection.put(record(kind, whole, self.version))
        self._changed.wake()
        return whole

    def delete(self, plural: str, name: str, namespace: str = "") -> Object | None:
        """Delete an object; return what it was, or None when there is none."""
        old = self.collections[plural].records.get((namespace, name))
        if old is None:
            return None
        self.version += 1
        self.collections[plural].remove(old.key, self.version)
        self._changed.wake()
        return old.object()

    async def wait_change(self, seconds: float, plural: str | None = None) -> None:
        """Wait until something changes, if named of that kind, or the time is over."""
        await (self.collections[plural].changed if plural else self._changed).wait(seconds)

    def wake(self) -> None:
        """Wake all tasks that wait for a change, although there is none."""
        for collection in self.collections.values():
            collection.changed.wake()
        self._changed.wake()

    def derived(self, key: Any, plurals: Sequence[str], make: Callable[[], T]) -> T:
        """Return what `make` makes of objects of some kinds, cached until one of them changes."""
        version = max(self.collections[plural].version for plural in plurals)
        known = self._derived.get(key)
        if known is None or known[0] != version:
            if len(self._derived) >= DERIVED:
                self._derived.clear()
            known = self._derived[key] = (version, make())
        value: T = known[1]
        return value

    def _compare(self, plural: str, metadata: Object, before: Object) -> None:
        for name, what in (("resourceVersion", "modified"), ("uid", "replaced")):
            wanted = metadata.get(name)
            if before and wanted and wanted != before[name]:
                raise Conflict(f"{plural} {metadata['name']!r} has been {what}")


def _uid() -> str:
    """Make a random UUID, several times faster than the uuid module does."""
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def timestamp(seconds: float) -> str:
    """Return epoch seconds as the API writes times: RFC 3339, whole seconds, UTC."""
    return _text_of(int(seconds))


@functools.lru_cache(maxsize=64)
def _text_of(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
