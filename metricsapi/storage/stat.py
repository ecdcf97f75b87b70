"""What is kept of one container or node: its CPU counter and rate (`cpu`), memory and files.

A `Stat` never changes: `advance` gives the next one. One that has nothing new stays the same
object, which is how usage that was made of it is known to be current.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from metricsapi.kube.shared import shared
from metricsapi.storage.cpu import CpuState, next_state
from metricsapi.storage.rules import Rules
from metricsapi.storage.timing import Instant, Timing
from metricsapi.storage.types import (
    ContainerStats,
    KubeletTime,
    ephemeral_storage,
    epoch_seconds,
    start_seconds,
)


class Stat(Struct, frozen=True, gc=False):
    """One container or node as it is kept.

    `start` is as the kubelet wrote it: comparing that costs less than parsing it each time.
    """

    name: str
    start: KubeletTime  # None if the answer had none that can be
    cpu: CpuState = CpuState()
    working_set: int = 0  # bytes; 0 before it is known
    working_set_at: Instant | None = None  # when an answer first had that
    swap: int | None = None  # bytes; None on a node without swap
    ephemeral_storage: int | None = None  # bytes
    zero: bool = False  # the last answer had no CPU time and no memory of it, explicitly


def advance(stat: Stat | None, new: ContainerStats, rules: Rules) -> Stat:
    """Return what is kept of a container after one more answer."""
    if stat is None or (new.start_time != stat.start and _restarted(stat, new.start_time)):
        known = start_seconds(new.start_time) is not None
        stat = Stat(shared(new.name), new.start_time if known else None)
    limits, swap, disk = rules.limits, None, None
    cpu = stat.cpu if new.cpu is None else next_state(stat.cpu, stat.start, new.cpu, rules)
    working_set, at = stat.working_set, stat.working_set_at
    memory = new.memory
    # Whatever runs has some memory.
    if memory is not None and 0 < (latest := memory.working_set_bytes or 0) <= limits.memory:
        read = rules.instants.get(memory.time) or _memory_read(new, rules.timing)
        if latest != working_set or at is None or at.time != read.time:
            working_set, at = latest, read
    if limits.swap and new.swap is not None:
        swap = _within(new.swap.swap_usage_bytes, limits.swap)
    if new.rootfs is not None:
        disk = _within(ephemeral_storage(new), limits.disk)
    if (
        cpu.reading is stat.cpu.reading
        and at is stat.working_set_at
        and swap == stat.swap
        and disk == stat.ephemeral_storage
    ):
        return _with_nothing_new(stat, new, cpu)
    return Stat(stat.name, stat.start, cpu, working_set, at, swap, disk)


def instants(stat: Stat) -> Iterator[Instant]:
    """Yield every instant that is kept, one perhaps more than once."""
    for reading in (stat.cpu.reading, stat.cpu.rated, stat.cpu.since, *stat.cpu.later):
        if reading is not None:
            yield reading.at
    if stat.working_set_at is not None:
        yield stat.working_set_at


def started(stat: Stat) -> float:
    """Return when a container started, in seconds since the epoch; 0 if that is not known."""
    return epoch_seconds(stat.start) or 0.0


def finished(stat: Stat, others_started: float) -> bool:
    """Return whether a container is a finished init container: docker lists those with zeros.

    It started before all others, which are listed with usage and of which the first started at
    `others_started` (seconds since the epoch), and has not been seen with usage since.
    """
    last = stat.cpu.reading.at.time if stat.cpu.reading is not None else 0.0
    return stat.zero and 0.0 < started(stat) < others_started and last <= others_started


def _restarted(stat: Stat, start: KubeletTime) -> bool:
    """Return whether a container that has another start than before is another one.

    A start that lies before the last reading is that of the same container: some kubelets round it,
    and some write an age.
    """
    before, now = epoch_seconds(stat.start), start_seconds(start)
    if before == now or before is None or now is None:
        return False
    return stat.cpu.reading is None or now >= stat.cpu.reading.at.time


def same_usage(stat: Stat, other: Stat) -> bool:
    """Return whether two states of a container are served alike."""
    return (
        stat.cpu.rated is other.cpu.rated
        and stat.working_set_at is other.working_set_at
        and stat.swap == other.swap
        and stat.ephemeral_storage == other.ephemeral_storage
        and stat.zero == other.zero
    )


def _with_nothing_new(stat: Stat, new: ContainerStats, cpu: CpuState) -> Stat:
    """Return a stat after an answer without a new reading."""
    zero = _all_zero(new)
    known = start_seconds(new.start_time) is not None
    start = new.start_time if known else stat.start
    if zero == stat.zero and start == stat.start and cpu is stat.cpu:
        return stat
    return replace(stat, zero=zero, start=start, cpu=cpu)


def _all_zero(new: ContainerStats) -> bool:
    cpu, memory = new.cpu, new.memory
    if cpu is None or memory is None:
        return False
    return cpu.usage_core_nano_seconds == 0 and memory.working_set_bytes == 0


def _within(value: int | None, most: int) -> int | None:
    return value if value is not None and 0 <= value <= most else None


def _memory_read(new: ContainerStats, timing: Timing) -> Instant:
    times = [part.time for part in (new.memory, new.cpu) if part is not None]
    time = next((time for time in map(epoch_seconds, times) if time is not None), 0.0)
    return Instant(time, time, None, 0.0, timing.received, timing.requested)
