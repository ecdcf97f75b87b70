"""Decodes a pod's metadata, and the node and readiness that a row of a Table has beside it.

A pod's PartialObjectMetadata has neither the node that it is bound to nor whether it is ready. A
Table with `includeObject=Metadata` has both in its cells, and the same metadata in each row. Its
columns are those of `kubectl get pods -o wide`, known by name: no API promises their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from metricsapi.kube.decoding import Metadata, decode_labels
from metricsapi.kube.errors import UNDECODABLE
from metricsapi.kube.resources import Pod
from metricsapi.kube.shared import shared

# What a mirror pod has: the kubelet's uid of the static pod is in the second one.
_CONFIG_MIRROR = "kubernetes.io/config.mirror"
_CONFIG_HASH = "kubernetes.io/config.hash"
_NONE = "<none>"  # in a cell: there is no such thing


class WirePod(Struct, gc=False):
    """A pod's PartialObjectMetadata, as far as it is decoded."""

    metadata: Metadata


class _Row(Struct, gc=False):
    object: WirePod
    cells: list[Any] | None = None


def read_pod(wire: WirePod) -> Pod | None:
    """Return what is used of a pod; None without name or namespace. Raises as decoders do."""
    return _pod(wire.metadata)


def decode_pod_row(body: bytes | msgspec.Raw, columns: Sequence[str]) -> Pod | None:
    """Return what we use of a row of a Table of pods; `columns` are the names of its cells.

    None when its object has no name or namespace. A cell that is missing, or whose text is not
    kube-apiserver's, counts as unknown.
    """
    try:
        return _pod_of_row(body, columns)
    except UNDECODABLE:
        return None


def _pod_of_row(body: bytes | msgspec.Raw, columns: Sequence[str]) -> Pod | None:
    row = msgspec.json.decode(body, type=_Row)
    cells = dict(zip(columns, row.cells or (), strict=False))
    node = cells.get("Node")
    if not isinstance(node, str) or node == _NONE:
        node = ""
    gates = cells.get("Readiness Gates", _NONE)
    ready = _all_of(cells.get("Ready")) and (gates == _NONE or _all_of(gates))
    return _pod(row.object.metadata, node, ready=ready)


def completed_pod(new: Pod, before: Pod) -> Pod:
    """Return a pod of a list, which is metadata alone, with what a Table had of it before."""
    if new.node or not before.node or new.uid != before.uid:
        return new
    return replace(new, node=before.node, ready=before.ready)


def _pod(metadata: Metadata, node: str = "", *, ready: bool = False) -> Pod | None:
    if not metadata.name or not metadata.namespace:
        return None
    annotations = metadata.annotations or {}
    static = annotations.get(_CONFIG_HASH, "") if _CONFIG_MIRROR in annotations else ""
    return Pod(
        shared(metadata.namespace),
        metadata.name,
        decode_labels(metadata.labels),
        metadata.uid,
        static,
        shared(node),
        ready,
    )


def _all_of(cell: object) -> bool:
    """Return whether a cell says that all of them are, as `2/2` does."""
    number, slash, total = cell.partition("/") if isinstance(cell, str) else ("", "", "")
    return bool(slash) and number == total and number not in ("", "0")
