"""`Table` of meta.k8s.io: what `kubectl get` prints. Rows are JSON fragments, as items are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from metricsapi.api.entries import Entry
from metricsapi.api.render.json import metadata
from metricsapi.api.render.quantity import bytes_text, cpu_text
from metricsapi.api.render.times import duration_text, milliseconds
from metricsapi.storage.types import ContainerUsage, NodeUsage, PodUsage

RESOURCES = ("cpu", "ephemeral-storage", "memory", "swap")  # in the order of the columns
_OPTIONAL = {"ephemeral-storage": "ephemeral_storage", "swap": "swap"}


def columns(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the `columnDefinitions` of a table with these resources."""
    described = [("Name", "name", "Name of the resource")]
    described += [(name, "quantity", "") for name in names]
    described.append(("Window", "duration", ""))
    return [
        {"name": name, "type": "string", "format": kind, "description": text, "priority": 0}
        for name, kind, text in described
    ]


def resources_of(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Return the names of the resources that any entry has, cpu and memory always."""
    parts = [part for entry in entries for part in _parts(entry.usage)]
    names = {"cpu", "memory"}
    for name, field in _OPTIONAL.items():
        if any(getattr(part, field) is not None for part in parts):
            names.add(name)
    return tuple(name for name in RESOURCES if name in names)


def row(entry: Entry, names: Sequence[str], row_object: Callable[[Entry], bytes]) -> bytes:
    """Return the row of an entry; `row_object(entry)` is its `object` in JSON."""
    usage = entry.usage
    assert usage is not None  # noqa: S101  only entries with usage are listed
    sums = _sums(_parts(usage), names)
    cells = [entry.object.name, *sums, duration_text(milliseconds(usage.window))]
    quoted = ",".join([f'"{cell}"' for cell in cells])
    return b'{"cells":[%b],"object":%b}' % (quoted.encode(), row_object(entry))


def no_object(_: Entry) -> bytes:
    """Return the `object` of a row for `includeObject=None`."""
    return b"null"


def partial(entry: Entry, version: str) -> bytes:
    """Return the `PartialObjectMetadata` of an entry; `version` is that of meta.k8s.io."""
    assert entry.usage is not None  # noqa: S101
    return (
        f'{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/{version}",'
        f'"metadata":{metadata(entry.object, entry.usage.timestamp)}}}'
    ).encode()


def _parts(usage: NodeUsage | PodUsage | None) -> Sequence[NodeUsage | ContainerUsage]:
    if isinstance(usage, PodUsage):
        return usage.containers
    return () if usage is None else (usage,)


def _sums(parts: Sequence[NodeUsage | ContainerUsage], names: Sequence[str]) -> list[str]:
    sums = []
    for name in names:
        if name == "cpu":
            sums.append(cpu_text(sum([part.cpu for part in parts])))
        else:
            field = _OPTIONAL.get(name, name)
            sums.append(bytes_text(sum([getattr(part, field) or 0 for part in parts])))
    return sums
