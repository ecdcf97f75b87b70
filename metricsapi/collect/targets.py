"""Where a node's kubelet is: its address, its port, its turn inside the resolution."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from msgspec import Struct

from metricsapi.kube.objects import Node


class Target(Struct, frozen=True):
    """One kubelet to scrape. `offset` is a fraction of the resolution, in [0, 1)."""

    node: str
    addresses: tuple[str, ...]
    port: int
    offset: float


def target_of(
    node: Node, *, address_types: Sequence[str], port: int, use_node_status_port: bool
) -> Target:
    """Give the target of a node; without any known address its `addresses` are empty."""
    addresses = tuple(
        found.address
        for wanted in address_types
        for found in node.addresses
        if found.type == wanted and found.address
    )
    if use_node_status_port and node.kubelet_port:
        port = node.kubelet_port
    return Target(node.name, addresses, port, offset_of(node.name))


def offset_of(name: str) -> float:
    """Give a node's own deterministic place inside each period, level over many nodes."""
    return zlib.crc32(name.encode()) / 2**32
