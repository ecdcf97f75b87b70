"""The last readings of one container or node, as `/metrics/resource` exposes them."""

from __future__ import annotations

from msgspec import Struct

from metricsapi.storage.rates import Reading
from metricsapi.storage.timing import Instant


class Readings(Struct, frozen=True, gc=False):
    """Counter and working set, each with the time at which the kubelet read it."""

    node: str
    namespace: str  # empty for a node
    pod: str  # empty for a node
    name: str
    start: float | None  # seconds since the epoch
    cpu: Reading
    working_set: int  # bytes
    working_set_at: Instant
    swap: int | None  # bytes, read with the working set
