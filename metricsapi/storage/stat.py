"""What is kept of one container or node: its last readings, and the rate that led to the last.

A `Stat` never changes: `advance` gives the next one. One that has nothing new stays the same
object, which is how usage that was made of it is known to be current.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from metricsapi.storage.rates import (
    EXACT,
    LARGEST,
    OLDEST,
    Interval,
    Reading,
    counter_of,
    favours,
    first_reading,
    kubelet_rate,
    reading_after,
)
from metricsapi.storage.rules import COARSEST, Rules
from metricsapi.storage.timing import LONG_RUN, OLD, Instant, Timing, exact_time
from metricsapi.storage.types import (
    ContainerStats,
    CpuStats,
    KubeletTime,
    ephemeral_storage,
    epoch_seconds,
)

SETTLED = 120.0  # seconds of age at which a kubelet has read a container twice
CLOSEST = 0.5  # seconds: readings nearer to each other than this give no rate worth serving
CERTAIN = 4  # agreeing readings in a row that are no chance, whatever the kubelet's rate says
ROUNDED = 64  # nanocore-seconds by which a float is off after 18 years of CPU time


# `reading`, `rated`, `since`, `later` and `run` of a `Stat`.
_Cpu = tuple[Reading | None, Reading | None, Reading | None, tuple[Reading, ...], int]


class Stat(Struct, frozen=True, gc=False):
    """One container or node as it is kept.

    `start` is as the kubelet wrote it: comparing that costs less than parsing it each time.
    """

    name: str
    start: KubeletTime  # None if the answer had none, or something of any length
    reading: Reading | None = None  # of the CPU counter, the last one
    rated: Reading | None = None  # the last one that has a rate
    since: Reading | None = None  # where the rate of `reading` begins, if it has one
    later: tuple[Reading, ...] = ()  # those kept between the two; see `windows`
    run: int = 0  # readings in a row that may have been made at request time
    working_set: int = 0  # bytes; 0 before it is known
    working_set_at: Instant | None = None  # when an answer first had that
    swap: int | None = None  # bytes; None on a node without swap
    ephemeral_storage: int | None = None  # bytes
    zero: bool = False  # the last answer had no CPU time and no memory of it, explicitly


def advance(stat: Stat | None, new: ContainerStats, rules: Rules) -> Stat:
    """Give what is kept of a container after one more answer."""
    if stat is None or (new.start_time != stat.start and _restarted(stat, new.start_time)):
        known = epoch_seconds(new.start_time) is not None
        stat = Stat(sys.intern(new.name), new.start_time if known else None)
    limits, swap, disk = rules.limits, None, None
    reading, rated, since, later, run = _next_cpu(stat, new.cpu, rules)
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
        reading is stat.reading
        and at is stat.working_set_at
        and swap == stat.swap
        and disk == stat.ephemeral_storage
    ):
        return _with_nothing_new(stat, new, run)
    return Stat(
        stat.name, stat.start, reading, rated, since, later, run, working_set, at, swap, disk
    )


def instants(stat: Stat) -> Iterator[Instant]:
    """Give every instant that is kept, one perhaps more than once."""
    for reading in (stat.reading, stat.rated, stat.since, *stat.later):
        if reading is not None:
            yield reading.at
    if stat.working_set_at is not None:
        yield stat.working_set_at


def started(stat: Stat) -> float:
    """Give when a container started, in seconds since the epoch; 0 if that is not known."""
    return epoch_seconds(stat.start) or 0.0


def finished(stat: Stat, others_started: float) -> bool:
    """Whether a container is an init container that has finished: docker lists it with zeros.

    It started before all others, which are listed with usage and of which the first started at
    `others_started` (seconds since the epoch), and has not been seen with usage since.
    """
    last = stat.reading.at.time if stat.reading is not None else 0.0
    return stat.zero and 0.0 < started(stat) < others_started and last <= others_started


def _restarted(stat: Stat, start: KubeletTime) -> bool:
    """Whether a container that has another start than before is another one.

    A start that lies before the last reading is that of the same container: some kubelets round it,
    and some write an age.
    """
    before, now = epoch_seconds(stat.start), epoch_seconds(start)
    if before == now or before is None or now is None:
        return False
    return stat.reading is None or now >= stat.reading.at.time


def same_usage(stat: Stat, other: Stat) -> bool:
    """Whether two states of a container are served alike."""
    return (
        stat.rated is other.rated
        and stat.working_set_at is other.working_set_at
        and stat.swap == other.swap
        and stat.ephemeral_storage == other.ephemeral_storage
        and stat.zero == other.zero
    )


def _with_nothing_new(stat: Stat, new: ContainerStats, run: int) -> Stat:
    """Give a stat after an answer without a new reading."""
    zero = _all_zero(new)
    known = epoch_seconds(new.start_time) is not None
    start = new.start_time if known else stat.start
    if zero == stat.zero and start == stat.start and run == stat.run:
        return stat
    return replace(stat, zero=zero, start=start, run=run)


def _all_zero(new: ContainerStats) -> bool:
    cpu, memory = new.cpu, new.memory
    if cpu is None or memory is None:
        return False
    return cpu.usage_core_nano_seconds == 0 and memory.working_set_bytes == 0


def _within(value: int | None, most: int) -> int | None:
    return value if value is not None and 0 <= value <= most else None


def _next_cpu(stat: Stat, cpu: CpuStats | None, rules: Rules) -> _Cpu:
    """Give the last reading after one more answer, the last one with a rate, and the run then."""
    last, timing = stat.reading, rules.timing
    at = rules.instants.get(cpu.time) if cpu is not None else None
    if cpu is None or at is None:
        return last, stat.rated, stat.since, stat.later, stat.run
    counter = cpu.usage_core_nano_seconds
    if counter is None or not 0 < counter <= LARGEST:  # not `counter_of`: each container comes here
        return _next_without_counter(stat, cpu, at, rules)
    run = stat.run
    if (
        last is not None
        and last.at is rules.since
        and at is rules.until
        and run == LONG_RUN
        and last.counter is not None
        and counter >= last.counter
    ):  # as the container before
        new = reading_after(last, at, counter, rules.between, cpu, rules.limits)
        rated, since = (stat.rated, None) if new.cpu is None else (new, last)
        return new, rated, since, (), run
    if last is not None and (
        at.received - last.at.received < CLOSEST
        or (at.time - last.at.time < COARSEST and _is_again(last, at.time, counter))
    ):
        # What is read at request time is another reading in each answer.
        run = run if at.moment is not None else OLD
        return last, stat.rated, stat.since, stat.later, run
    if run < LONG_RUN or at.moment is None or timing.refuted:
        run = timing.next_run(run, at.moment)
    if last is None or last.counter is None or counter < last.counter - ROUNDED:
        new = _first_reading(stat, at, counter, cpu, rules)
        return new, None if new.cpu is None else new, None, (), min(run, 1)
    kept = [last]
    if at.requested - last.at.requested < rules.windows.enough:
        before = [] if stat.since is None else [stat.since, *stat.later]
        kept = rules.windows.readings([*before, last], at, epoch_seconds(stat.start))
    since, *later = kept
    between, trusted = _time_between(stat, since, at, counter, run, cpu, rules)
    new = reading_after(since, at, counter, between, cpu, rules.limits)
    if not trusted:
        exact = exact_time(since.at.exact + new.window, at.time, timing.step)
        new = replace(new, at=replace(at, exact=exact))
    if new.cpu is None or timing.refuted:
        return new, stat.rated if new.cpu is None else new, None, (), run
    return new, new, since, tuple(later), run


def _time_between(
    stat: Stat, since: Reading, at: Instant, counter: int, run: int, cpu: CpuStats, rules: Rules
) -> tuple[Interval, bool]:
    """Give the time between two readings, and whether the stat is known to be read at request time.

    A stat from housekeeping agrees by chance now and then, twice in a row, too. So while its run is
    short, the kubelet's own rate is asked, unless the container is too young for a whole window.
    """
    trusted = rules.timing.trusted and run >= rules.run_needed
    between = rules.measure(since.at, at, trusted=trusted)
    start = epoch_seconds(stat.start)
    if not trusted or run >= CERTAIN or start is None or at.time - start < SETTLED:
        return between, trusted
    grown, kubelet = counter - (since.counter or 0), kubelet_rate(cpu, rules.limits)
    if favours(at.time - since.at.time, between, grown, kubelet, EXACT):
        return rules.measure(since.at, at, trusted=False), False
    return between, True


def _is_again(last: Reading, time: float, counter: int) -> bool:
    """Whether an answer has the last reading once more, or an earlier one.

    The other endpoint may have had it: the Summary cuts times to seconds and `/metrics/resource` to
    milliseconds, and the latter's counters are floats of seconds. Taken for a new one, it would
    have a rate of 0, or begin anew.
    """
    grown = counter - (last.counter or 0)
    if -ROUNDED <= grown <= ROUNDED and abs(time - last.at.time) < COARSEST:
        return True
    return grown <= 0 and 0.0 < last.at.time - time <= OLDEST


def _next_without_counter(stat: Stat, cpu: CpuStats, at: Instant, rules: Rules) -> _Cpu:
    """Do the same where the kubelet has no counter, but perhaps a rate."""
    last = stat.reading
    same = last is not None and last.at.time == at.time
    if counter_of(cpu) is not None or cpu.usage_nano_cores is None or same:
        return last, stat.rated, stat.since, stat.later, stat.run
    new = _first_reading(stat, at, None, cpu, rules)
    return new, stat.rated if new.cpu is None else new, None, (), 0


def _first_reading(
    stat: Stat, at: Instant, counter: int | None, cpu: CpuStats, rules: Rules
) -> Reading:
    """Give a reading that no other of the same counter precedes."""
    start = epoch_seconds(stat.start)
    settled = rules.rates_known and start is not None and at.time - start >= SETTLED
    # Without a counter nothing tells a restart; an earlier reading is of the same container.
    again = counter is None and stat.reading is not None
    kubelet = kubelet_rate(cpu, rules.limits)
    return first_reading(at, counter, kubelet, start, sampled_twice=settled or again)


def _memory_read(new: ContainerStats, timing: Timing) -> Instant:
    times = [part.time for part in (new.memory, new.cpu) if part is not None]
    time = next((time for time in map(epoch_seconds, times) if time is not None), 0.0)
    return Instant(time, time, None, 0.0, timing.received, timing.requested)
