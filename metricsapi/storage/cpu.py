"""The CPU counter of one container or node: its readings, and the one that the last rate began at.

A `CpuState` never changes: `next_state` returns the one after another sample, which is the same
object where the sample has nothing new.
"""

from __future__ import annotations

from math import inf

from msgspec import Struct
from msgspec.structs import replace

from metricsapi.storage.rates import (
    LARGEST_COUNTER,
    OLDEST_READING,
    Interval,
    Reading,
    counter_of,
    favours,
    first_reading,
    kubelet_rate,
    reading_after,
)
from metricsapi.storage.rules import COARSEST, Rules
from metricsapi.storage.timing import LONG_RUN, OLD, Instant, exact_time
from metricsapi.storage.types import CpuStats, KubeletTime, epoch_seconds

SETTLED = 120.0  # seconds of age at which a kubelet has read a container twice
CLOSEST = 0.5  # seconds: readings nearer to each other than this give no rate worth serving
CERTAIN = 4  # agreeing readings in a row that are no chance, whatever the kubelet's rate says
ROUNDED = 64  # nanocore-seconds by which a float is off after 18 years of CPU time


class CpuState(Struct, frozen=True, gc=False):
    """What is kept of a CPU counter."""

    reading: Reading | None = None  # the last one
    rated: Reading | None = None  # the last one that has a rate
    since: Reading | None = None  # where the rate of `reading` begins, if it has one
    later: tuple[Reading, ...] = ()  # those kept between the two; see `windows`
    run: int = 0  # readings in a row that may have been made at request time


def next_state(state: CpuState, start: KubeletTime, new: CpuStats, rules: Rules) -> CpuState:
    """Return the state after one more sample of a container that started at `start`."""
    last, at, counter = state.reading, rules.instants.get(new.time), new.usage_core_nano_seconds
    if at is None:
        return state
    if (
        counter is None or not 0 < counter <= LARGEST_COUNTER
    ):  # not `counter_of`: each container comes here
        return _without_counter(state, start, new, at, rules)
    if last is None:
        return _begun(state, start, new, at, rules)
    if (
        last.at is rules.since
        and at is rules.until
        and state.run >= CERTAIN
        and last.counter is not None
        and counter >= last.counter
    ):  # read at the same two instants as the container before
        run = LONG_RUN if state.run == LONG_RUN else rules.timing.next_run(state.run, at.moment)
        reading = reading_after(last, at, counter, rules.between, new, rules.limits)
        return _after(state, reading, last, (), run)
    if _is_repeated(last, at, counter):
        # What is read at request time is another reading in each sample.
        return state if at.moment is not None else _with_run(state, OLD)
    if at.received - last.at.received > rules.windows.longest:
        return _begun(state, start, new, at, rules)
    if last.counter is None or counter < last.counter - ROUNDED:
        return _after_lower(state, start, new, at, rules)
    return _following(state, last, start, new, at, rules)


def _after(
    state: CpuState, reading: Reading, since: Reading | None, later: tuple[Reading, ...], run: int
) -> CpuState:
    """Return the state after a new reading, whose rate begins at `since` if it has one."""
    if reading.cpu is None:
        return CpuState(reading, state.rated, None, (), run)
    return CpuState(reading, reading, since, later, run)


def _with_run(state: CpuState, run: int) -> CpuState:
    return state if state.run == run else replace(state, run=run)


def _following(
    state: CpuState, last: Reading, start: KubeletTime, new: CpuStats, at: Instant, rules: Rules
) -> CpuState:
    """Return the state after a reading of the same counter as the last one."""
    timing, counter = rules.timing, new.usage_core_nano_seconds or 0
    run = timing.next_run(state.run, at.moment)
    kept = [last]
    if at.requested - last.at.requested < rules.windows.enough:
        before = [] if state.since is None else [state.since, *state.later]
        kept = rules.windows.readings([*before, last], at, epoch_seconds(start))
    since, *later = kept
    between, trusted = _time_between(since, at, run, start, new, rules)
    reading = reading_after(since, at, counter, between, new, rules.limits)
    if not trusted:
        exact = exact_time(since.at.exact + reading.window, at.time, at.step)
        reading = replace(reading, at=replace(at, exact=exact))
    if timing.refuted:
        return _after(state, reading, None, (), run)
    if between.vague and reading.cpu is None and counter - (since.counter or 0) <= between.most:
        return CpuState(reading, state.rated, since, tuple(later), run)
    return _after(state, reading, since, tuple(later), run)


def _time_between(
    since: Reading, at: Instant, run: int, start: KubeletTime, new: CpuStats, rules: Rules
) -> tuple[Interval, bool]:
    """Return the time between two readings, and whether it is known that requests made them.

    A stat from housekeeping agrees by chance now and then, twice in a row, too. So while its run is
    short, the kubelet's own rate is asked, unless the container is too young for a whole window.
    """
    trusted = rules.timing.trusted and run >= rules.run_needed
    between = rules.measure(since.at, at, trusted=trusted)
    started = epoch_seconds(start)
    if not trusted or run >= CERTAIN or started is None or at.time - started < SETTLED:
        return between, trusted
    grown = (new.usage_core_nano_seconds or 0) - (since.counter or 0)
    if favours(at.time - since.at.time, between, grown, kubelet_rate(new, rules.limits)):
        return rules.measure(since.at, at, trusted=False), False
    return between, True


def _is_repeated(last: Reading, at: Instant, counter: int) -> bool:
    """Return whether a sample has the last reading once more, or an earlier one.

    The other endpoint may have had it: the Summary cuts times to seconds and `/metrics/resource` to
    milliseconds, and the latter's counters are floats of seconds. Taken for a new one, it would
    have a rate of 0, or begin anew.
    """
    if at.received - last.at.received < CLOSEST:
        return True
    later, grown = at.time - last.at.time, counter - (last.counter or 0)
    if later >= COARSEST:
        return False
    if -ROUNDED <= grown <= ROUNDED and later > -COARSEST:
        return True
    return grown <= 0 and 0.0 < -later <= OLDEST_READING


def _after_lower(
    state: CpuState, start: KubeletTime, new: CpuStats, at: Instant, rules: Rules
) -> CpuState:
    """Return the state after a counter that is below the last reading.

    It is still that of the same container if the node's cores could not give as much to a container
    that started since the last rate. Then one of the two readings is wrong and is passed over: the
    last reading if it has no rate, else the new reading. The next answer is usually right again, so
    a new reading is passed over once, unless the time of the last reading is what was wrong.
    """
    rated, counter = state.rated, new.usage_core_nano_seconds or 0
    since = inf if rated is None else at.received - rated.at.requested
    if rated is None or counter <= rules.limits.cpu * (since + OLDEST_READING):
        return _begun(state, start, new, at, rules)
    if rated is not state.reading:
        return next_state(CpuState(rated, rated, run=state.run), start, new, rules)
    once = since <= 2 * rules.windows.period and at.time > rated.at.time
    return state if once else _begun(state, start, new, at, rules)


def _without_counter(
    state: CpuState, start: KubeletTime, new: CpuStats, at: Instant, rules: Rules
) -> CpuState:
    """Return the state after a sample without a counter, but perhaps with a rate."""
    same = state.reading is not None and state.reading.at.time == at.time
    if counter_of(new) is not None or new.usage_nano_cores is None or same:
        return state
    return _after(state, _first_reading(state, start, None, new, at, rules), None, (), 0)


def _begun(
    state: CpuState, start: KubeletTime, new: CpuStats, at: Instant, rules: Rules
) -> CpuState:
    """Return the state after the first reading of a counter: the rate of another one is no more."""
    reading = _first_reading(state, start, new.usage_core_nano_seconds, new, at, rules)
    run = min(rules.timing.next_run(state.run, at.moment), 1)
    return _after(CpuState(), reading, None, (), run)


def _first_reading(
    state: CpuState,
    start: KubeletTime,
    counter: int | None,
    new: CpuStats,
    at: Instant,
    rules: Rules,
) -> Reading:
    """Return a reading that no other of the same counter precedes."""
    started = epoch_seconds(start)
    age = None if started is None else min(at.time - started, rules.oldest_new)
    settled = rules.rates_known and age is not None and age >= SETTLED
    # Without a counter nothing tells a restart; an earlier reading is of the same container.
    last = state.reading
    again = counter is None and last is not None and last.counter is None
    kubelet = kubelet_rate(new, rules.limits)
    return first_reading(at, counter, kubelet, age, sampled_twice=settled or again)
