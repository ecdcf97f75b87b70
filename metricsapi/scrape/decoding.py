"""What the decoders of both endpoints share: their input, error, numbers and limits.

A decoder is a generator that yields between pieces of work, so that a large answer does not hold
the event loop: `run` goes through it at once, `slices.Slices` lets the loop in between.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any, TypeVar

from msgspec import Struct

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.scrape.errors import Cause
from metricsapi.storage.rates import LARGEST_COUNTER
from metricsapi.storage.types import PodStats

MAX_PODS = KubeletSettings.max_pods  # of a node whose capacity is not known
POD_CONTAINERS = 250  # of one pod
CONTAINERS_PER_POD = 5  # of all pods of a node, on average
PIECE = 64 * 1024  # bytes decoded between two yields

_SANDBOXES = ("", "POD")

T = TypeVar("T")
Steps = Generator[None, None, T]


class Exchange(Struct, frozen=True):
    """The request that a body answers: times by our own clocks, as in NodeSample."""

    node: str
    requested_at: float
    answered_at: float
    wall_offset: float
    max_pods: int = MAX_PODS  # that the answer may list


class DecodeError(ValueError):
    """The body is not what a kubelet answers, or more than a node may have."""

    def __init__(self, message: str, cause: Cause = Cause.DECODE) -> None:
        super().__init__(message)
        self.cause = cause


def run(steps: Steps[T]) -> T:
    """Decode at once."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result


def whole(value: object) -> int | None:
    """Return a number that a counter or gauge can have, or None: whole, from 0 to 2^64 - 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNTER:
        return value
    return None


def pod_limit(capacity: int | None, most: int = MAX_PODS) -> int:
    """Return how many pods a node may list: 1.5 times its capacity, and `most` at most.

    A kubelet lists pods that are being deleted beside those that take their places.
    """
    return min(most, math.ceil(1.5 * capacity)) if capacity else most


def check_pods(count: int, limit: int) -> None:
    """Raise DecodeError if an answer lists more pods than the node may have."""
    if count > limit:
        raise DecodeError(f"it lists more than {limit} pods", Cause.TOO_MANY_PODS)


def tidy(pods: list[PodStats], limit: int, *, disks: bool = True) -> None:
    """Check the number of containers, and leave out what is not to be used.

    That is a container without a name or named `POD` (the pod's own sandbox, with dockershim), and
    file systems unless `disks`. Raises DecodeError if pods have more containers than those of
    `limit` pods may have. One loop, since every scrape of every node goes through it.
    """
    allowed = max(POD_CONTAINERS, CONTAINERS_PER_POD * limit)
    total = 0
    for pod in pods:
        containers = pod.containers
        if not containers:
            continue
        total += len(containers)
        if len(containers) > POD_CONTAINERS or total > allowed:
            raise _too_many_containers(pod, allowed)
        sandbox = False
        for stats in containers:
            if stats.name in _SANDBOXES:
                sandbox = True
            if stats.rootfs is not None and not disks:
                stats.rootfs = stats.logs = None
        if sandbox:
            pod.containers = [stats for stats in containers if stats.name not in _SANDBOXES]


def _too_many_containers(pod: PodStats, allowed: int) -> DecodeError:
    if len(pod.containers or ()) > POD_CONTAINERS:
        ref = pod.pod_ref
        message = (
            f"pod {ref.namespace[:63]}/{ref.name[:253]} has more than {POD_CONTAINERS} containers"
        )
    else:
        message = (
            f"it lists more than {allowed} containers, {CONTAINERS_PER_POD} for each pod that the "
            "node may have"
        )
    return DecodeError(message, Cause.TOO_MANY_CONTAINERS)


def text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
