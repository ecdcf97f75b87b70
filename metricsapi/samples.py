"""What a kubelet said, and the usage that follows from it.

Plain values, the same whatever they were read from. Units everywhere: CPU counters in
nanocore-seconds, CPU usage in nanocores, memory in bytes, times in seconds since the epoch (UTC)
as floats, durations in seconds.
"""

from __future__ import annotations

from msgspec import Struct


class ContainerSample(Struct, gc=False):
    """One container as one answer of its kubelet shows it.

    A stat that the kubelet did not give is None; its absence costs only this container's pod.
    """

    name: str
    start: float | None  # when the container started, whole seconds in the Summary
    cpu_time: float | None  # when the CPU counter was read, by the kubelet's clock
    cpu_counter: int | None  # usageCoreNanoSeconds, cumulative since `start`
    cpu_rate: int | None  # usageNanoCores, the kubelet's own rate over its own last interval
    memory_time: float | None
    memory: int | None  # working set
    swap: int | None = None
    swap_available: int | None = None
    ephemeral_storage: int | None = None


class PodSample(Struct, gc=False):
    """One pod in a kubelet's answer: only its running containers are listed."""

    namespace: str
    name: str
    uid: str  # tells a recreated pod; not its API object's uid for a static pod
    containers: list[ContainerSample]


class NodeSample(Struct):
    """One decoded answer of one kubelet, with the times of the exchange by our own clocks."""

    node: str
    requested_at: float  # monotonic seconds just before the request was written
    answered_at: float  # monotonic seconds when the first byte of the body had come
    wall_offset: float  # our wall clock minus our monotonic clock at that moment
    stats: ContainerSample | None  # the node's own stats; its `name` is the node's name
    pods: list[PodSample]
    time_step: float = 1.0  # kubelet times are cut to this: 1 s in the Summary, or 1 ms


class ContainerUsage(Struct, frozen=True, gc=False):
    """The current usage of one container: `cpu` in nanocores, the others in bytes."""

    name: str
    cpu: int
    memory: int
    swap: int | None = None
    ephemeral_storage: int | None = None


class NodeUsage(Struct, frozen=True, gc=False):
    """The current usage of one node. `window` ends at `timestamp`; it is never 0.

    `timestamp` is the kubelet's own word, by the kubelet's clock: callers compare it with the time
    a pod became ready, which the same kubelet wrote.
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


class Reading(Struct, frozen=True, gc=False):
    """The last reading of one node or container, as kept: what Prometheus can take from here.

    `cpu_time` is the kubelet's time with the best estimate of the fraction that it cut off, so
    that the difference of two such times is the true window.
    """

    node: str
    namespace: str  # empty for a node
    pod: str  # empty for a node
    name: str
    start: float | None
    cpu_time: float
    cpu_counter: int  # nanocore-seconds since `start`
    memory_time: float
    memory: int
    swap: int | None


class NodeHolding(Struct, frozen=True, gc=False):
    """What is kept of one node, for its row on a status page."""

    last_good: float  # monotonic seconds of its last good answer
    last_good_time: float  # the same moment by our wall clock, seconds since the epoch
    pods: int  # in that answer
    containers: int  # in that answer; 0 on a node that answers without containers
    clock_skew: float | None  # seconds its clock is ahead of ours; None until it is known
