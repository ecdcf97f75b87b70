"""What cannot be true of a node: more bytes than it has, more CPU than its cores can give.

What a kubelet says is a claim. Bytes that underflowed (2^64 - 4096) and rates of 300,000 cores have
been seen; a number beyond what the node has is treated as missing.
"""

from __future__ import annotations

from msgspec import Struct

from metricsapi.kube.resources import Capacity
from metricsapi.storage.types import ContainerStats

MAX_BYTES = 2**60  # bytes
MAX_CPU = 1e15  # nanocores: a million cores
# How far a rate may exceed what the cores give: clocks and counters are not read at one moment.
MARGIN = 1.1


class Limits(Struct, frozen=True, gc=False):
    """The most that one container or the whole node can use; 0 swap means that there is none."""

    cpu: float  # nanocores
    memory: int  # bytes
    swap: int  # bytes
    disk: int  # bytes


def limits_of(capacity: Capacity, stats: ContainerStats | None, *, swap: bool) -> Limits:
    """Return the limits of a node from its API object and from its own stats in an answer.

    Without `swap`, no swap is read. Nodes say how much swap they have since Kubernetes 1.34; until
    then it is what the Summary has as available and as used.
    """
    return Limits(
        capacity.cpu * MARGIN if capacity.cpu else MAX_CPU,
        capacity.memory or MAX_BYTES,
        _swap(capacity, stats) if swap else 0,
        capacity.ephemeral_storage or MAX_BYTES,
    )


def _swap(capacity: Capacity, stats: ContainerStats | None) -> int:
    swap = stats.swap if stats is not None else None
    parts = (swap.swap_available_bytes, swap.swap_usage_bytes) if swap is not None else ()
    sound = [part for part in parts if part is not None and 0 <= part <= MAX_BYTES]
    if not any(sound):
        return 0  # a node that has swap says so in every answer
    if capacity.swap:
        return capacity.swap
    return sum(sound) if len(sound) == len(parts) else MAX_BYTES
