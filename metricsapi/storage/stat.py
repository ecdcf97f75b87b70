"""What is kept of one container or node: its last readings, and the rate that led to the last.

A `Stat` never changes: `advance` gives the next one. One that has nothing new stays the same
object, which is how usage that was made of it is known to be current.
"""

from __future__ import annotations

import sys

from msgspec import Struct

from metricsapi.storage.clock import Timing
from metricsapi.storage.rates import (
    CLOSEST,
    Rate,
    Reading,
    first_rate,
    rate_at_request_time,
    rate_from_housekeeping,
)
from metricsapi.storage.types import (
    ContainerStats,
    CpuStats,
    KubeletTime,
    ephemeral_storage,
    epoch_seconds,
)

COARSEST = 1.0  # seconds that a kubelet's times are cut to at most
ROUNDED = 64  # nanocore-seconds by which a float is off after 18 years of CPU time


class Memory(Struct, frozen=True, gc=False):
    """One reading of a working set."""

    working_set: int  # bytes
    time: float  # when, by the kubelet's clock
    received: float  # when an answer first had it, by our monotonic clock


class Stat(Struct, frozen=True, gc=False):
    """One container or node as it is kept.

    `start` is as the kubelet wrote it: comparing that costs less than parsing it each time.
    """

    name: str
    start: KubeletTime  # None if the answer had none, or something of any length
    reading: Reading | None = None
    run: int = 0  # readings in a row that may have been made at request time
    rate: Rate | None = None
    memory: Memory | None = None
    swap: int | None = None  # bytes; None on a node without swap
    ephemeral_storage: int | None = None  # bytes


class Readings(Struct, frozen=True, gc=False):
    """The last readings of one container or node: what Prometheus can take from here."""

    node: str
    namespace: str  # empty for a node
    pod: str  # empty for a node
    name: str
    start: float | None  # seconds since the epoch
    cpu: Reading
    memory: Memory
    swap: int | None  # bytes, read with the memory


class Rules(Struct, frozen=True, gc=False):
    """How the stats of one answer are read."""

    timing: Timing
    has_swap: bool  # of the node
    run_needed: int  # agreeing readings in a row that make a stat one that is read at request time


def advance(stat: Stat | None, new: ContainerStats, rules: Rules) -> Stat:
    """Give what is kept of a container after one more answer."""
    if stat is None or (new.start_time != stat.start and _restarted(stat, new)):
        known = epoch_seconds(new.start_time) is not None
        stat = Stat(sys.intern(new.name), new.start_time if known else None)
    reading, run, rate = _next_cpu(stat, new.cpu, rules)
    memory = _next_memory(stat.memory, new, rules.timing)
    swap = new.swap.swap_usage_bytes if rules.has_swap and new.swap is not None else None
    disk = ephemeral_storage(new) if new.rootfs is not None else None
    if (
        reading is stat.reading
        and memory is stat.memory
        and swap == stat.swap
        and disk == stat.ephemeral_storage
    ):
        return stat
    return Stat(stat.name, stat.start, reading, run, rate, memory, swap, disk)


def started(stat: Stat) -> float:
    """Give when a container started, in seconds since the epoch; 0 if that is not known."""
    return epoch_seconds(stat.start) or 0.0


def _restarted(stat: Stat, new: ContainerStats) -> bool:
    """Whether an answer is about another container (or boot) than the stat."""
    before, now = epoch_seconds(stat.start), epoch_seconds(new.start_time)
    return before != now and before is not None and now is not None


def _next_cpu(
    stat: Stat, cpu: CpuStats | None, rules: Rules
) -> tuple[Reading | None, int, Rate | None]:
    """Give the last reading of the counter after one more answer, its run, and the rate then."""
    last, timing = stat.reading, rules.timing
    at = timing.instants.get(cpu.time) if cpu is not None else None
    if cpu is None or at is None or (counter := cpu.usage_core_nano_seconds) is None:
        return last, stat.run, stat.rate
    received = timing.received
    if last is not None and (
        received - last.received < CLOSEST or _is_again(last, at.time, counter)
    ):
        return last, stat.run, stat.rate
    new = Reading(at.time, at.exact, at.moment, received, counter, cpu.usage_nano_cores)
    run = timing.next_run(stat.run, at.moment)
    if last is None or counter < last.counter:
        return new, min(run, 1), first_rate(new, epoch_seconds(stat.start))
    if run >= rules.run_needed and timing.trusted and at.moment and last.moment:
        rate = rate_at_request_time(last, new, at.moment - last.moment, timing)
    else:
        rate, new = rate_from_housekeeping(last, new, epoch_seconds(stat.start), timing)
    return new, run, rate or stat.rate


def _is_again(last: Reading, time: float, counter: int) -> bool:
    """Whether an answer has the last reading once more.

    The other endpoint may have had it: the Summary cuts times to seconds and `/metrics/resource` to
    milliseconds, and the latter's counters are floats of seconds. Taken for a new one, it would
    have a rate of 0.
    """
    return -ROUNDED <= counter - last.counter <= ROUNDED and abs(time - last.time) < COARSEST


def _next_memory(last: Memory | None, new: ContainerStats, timing: Timing) -> Memory | None:
    if new.memory is None or (working_set := new.memory.working_set_bytes) is None:
        return last
    at = timing.instants.get(new.memory.time)
    time = at.time if at is not None else _memory_time(new)
    if last is not None and last.working_set == working_set and last.time == time:
        return last
    return Memory(working_set, time, timing.received)


def _memory_time(new: ContainerStats) -> float:
    times = [part.time for part in (new.memory, new.cpu) if part is not None]
    return next((time for time in map(epoch_seconds, times) if time is not None), 0.0)
