"""A kubelet's answer, and the usage that is served.

Plain values, the same whatever they were read from. Units everywhere: CPU counters in
nanocore-seconds, CPU usage in nanocores, memory in bytes, times in seconds since the epoch (UTC)
as floats, durations in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache

from msgspec import Struct

# A time as the kubelet writes it: RFC 3339 text in the Summary, else seconds since the epoch.
KubeletTime = str | float | None

_LONGEST = 40  # characters: RFC 3339 with nanoseconds and an offset has 35
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 253_402_300_800.0  # the year 10000, which RFC 3339 has no text for
_FIRST_START = 1.4e9  # in 2014: before, there was no Kubernetes


def epoch_seconds(time: KubeletTime) -> float | None:
    """Return a kubelet's time in seconds since the epoch.

    What is no time is None, and so is what is before 1970 or cannot be written as a time again.
    """
    seconds: float | None
    if isinstance(time, str):  # noqa: SIM108  not one condition in another
        seconds = _parsed(time) if len(time) <= _LONGEST else None
    else:
        seconds = time
    return seconds if seconds is not None and 0 < seconds < _LATEST else None


def start_seconds(time: KubeletTime) -> float | None:
    """Return when a container started, in seconds since the epoch.

    It is None where that is not known, as where a kubelet writes an age.
    """
    seconds = epoch_seconds(time)
    return seconds if seconds is not None and seconds > _FIRST_START else None


# Times of readings are few, since they are whole seconds and clocks agree; each is parsed once.
@lru_cache(maxsize=1024)
def _parsed(text: str) -> float | None:
    try:
        return (datetime.fromisoformat(text) - _EPOCH).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a time without its zone
        return None


class CpuStats(Struct, gc=False, rename="camel", omit_defaults=True):
    time: KubeletTime = None  # when the counter was read, by the kubelet's clock
    usage_nano_cores: int | None = None  # the kubelet's own rate over its own last interval
    usage_core_nano_seconds: int | None = None  # cumulative since the start


class MemoryStats(Struct, gc=False, rename="camel", omit_defaults=True):
    time: KubeletTime = None
    working_set_bytes: int | None = None


class SwapStats(Struct, gc=False, rename="camel", omit_defaults=True):
    swap_available_bytes: int | None = None
    swap_usage_bytes: int | None = None


class DiskStats(Struct, gc=False, rename="camel", omit_defaults=True):
    used_bytes: int | None = None


class ContainerStats(Struct, gc=False, rename="camel", omit_defaults=True):
    """One container (or node) in a kubelet's answer, named and nested as in the Summary API.

    Decoding fills in these objects, and the store reads them. A stat that the kubelet did not give
    is None; its absence costs only this container's pod. Numbers may be of any size and sign: which
    of them can be true is for the store to say, which knows the node.
    """

    name: str
    start_time: KubeletTime = None  # whole seconds in the Summary
    cpu: CpuStats | None = None
    memory: MemoryStats | None = None
    swap: SwapStats | None = None
    rootfs: DiskStats | None = None
    logs: DiskStats | None = None


class PodRef(Struct, frozen=True, gc=False, cache_hash=True):
    name: str
    namespace: str
    uid: str = ""  # tells a recreated pod; not its API object's uid for a static pod


class PodStats(Struct, gc=False, rename="camel", omit_defaults=True):
    """One pod in a kubelet's answer: only its running containers are listed."""

    pod_ref: PodRef
    containers: list[ContainerStats] | None = None


class Located(Struct, gc=False):
    """What a store computed of the times of an answer; with it another store gets the same result.

    `times` are those of its containers' CPU counters, each once, as the answer has them. `low` and
    `high` bound the kubelet's clock minus our monotonic one, in seconds. `moments` are of stats
    that may have been read at request time: the kubelet's time in seconds since the epoch, our
    monotonic seconds, and by how many these may be off. See `clock.NodeClock` for the others.
    """

    low: float
    high: float
    shift: float
    evidence: int
    jumped_at: float  # monotonic seconds
    refuted: bool
    moments: list[tuple[float, float, float]]
    times: list[KubeletTime] = []

    def moved(self, seconds: float) -> Located:
        """Return the same by a monotonic clock that is `seconds` ahead."""
        return Located(
            self.low - seconds,
            self.high - seconds,
            self.shift - seconds,
            self.evidence,
            self.jumped_at + seconds,
            self.refuted,
            [(time, moment + seconds, error) for time, moment, error in self.moments],
            self.times,
        )


class EncodedPods:
    """The pods of an answer as another replica sent them; iterating over them decodes them.

    `listed` is the same number for answers that list the same pods with as many containers each.
    `decode` raises ValueError if it cannot.
    """

    __slots__ = ("_data", "_decode", "listed")

    def __init__(self, data: bytes, listed: int, decode: Callable[[bytes], list[PodStats]]) -> None:
        self._data = data
        self._decode = decode
        self.listed = listed

    def __iter__(self) -> Iterator[PodStats]:
        return iter(self._decode(self._data))


class NodeSample(Struct):
    """One decoded answer of one kubelet, with the times of the exchange by our own clocks.

    A store that learns from the answer sets `located`; a store that gets the answer from another
    replica uses what is set. `moved` is then the seconds by which the other replica's
    clock is known to be further behind ours than was taken for the last answer of the node.
    """

    node: str
    requested_at: float  # monotonic seconds just before the request was written
    answered_at: float  # monotonic seconds when the first byte of the body had come
    stats: ContainerStats | None  # the node's own stats; its `name` is the node's name
    pods: list[PodStats] | EncodedPods
    time_step: float = 1.0  # kubelet times are cut to this: 1 s in the Summary, or 1 ms
    nameless: int = 0  # entries of the answer from which nothing says which pod it is
    unusable: str = ""  # which usage cannot follow from it, in words; empty if all may
    located: Located | None = None  # None before it is stored
    moved: float = 0.0


def ephemeral_storage(of: ContainerStats) -> int | None:
    """Return the bytes on the node's disk, or None unless the answer has both parts of them."""
    if of.rootfs is None or of.logs is None:
        return None
    rootfs, logs = of.rootfs.used_bytes, of.logs.used_bytes
    return rootfs + logs if rootfs is not None and logs is not None else None


class ContainerUsage(Struct, frozen=True, gc=False):
    """The current usage of one container: `cpu` in nanocores, the others in bytes."""

    name: str
    cpu: int
    memory: int
    swap: int | None = None
    ephemeral_storage: int | None = None


class NodeUsage(Struct, frozen=True, gc=False):
    """The current usage of one node. `window` ends at `timestamp`; it is never 0.

    `timestamp` is the kubelet's, by the kubelet's clock: callers compare it with the time a pod
    became ready, which the same kubelet wrote.
    """

    name: str
    timestamp: float
    window: float
    cpu: int
    memory: int
    swap: int | None = None
    ephemeral_storage: int | None = None


class PodUsage(Struct, frozen=True, gc=False):
    """The current usage of one pod, complete: every container that its kubelet lists.

    `timestamp` and `window` are those of its container with the earliest time; containers are
    sorted by name.
    """

    namespace: str
    name: str
    node: str
    timestamp: float
    window: float
    containers: tuple[ContainerUsage, ...]


class NodeInfo(Struct, frozen=True, gc=False):
    """What is known of one node that has answered, for its row on a status page."""

    pods: int  # in that answer
    containers: int  # in that answer; 0 on a node that answers without containers
