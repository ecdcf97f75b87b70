"""The rate of one stat, from two distinct readings, and the window it is true for.

**The difficulty.** The Summary's times are cut to whole seconds. A counter's difference divided by
their difference is up to 1 s wrong in its window: 6 % at 15 s. So the time between two readings is
known as a length and an error, from whichever clock knows it better (`interval`):

- *By our clock*, for a stat read at request time (see `clock`): both true times lie between our
  request and our answer, so the error is at most what the two exchanges took, some 30 ms.
- *By the kubelet's times*: the error is what they are cut to, a second or a millisecond.

Where the error is small (`EXACT_SHARE`), the rate is the counter's difference over that length.

**Where it is not**, because the stat is from housekeeping or the answer was slow, there is the
kubelet's own rate. It is exact over the kubelet's own last interval [t2 - h, t2], since the kubelet
has nanoseconds, and two distinct readings have at least one such interval between them. Hence it is
always between the lowest and the highest rate of our window; it is the mean while the load is
steady, and the newest rate after a step. It is served with `KUBELET_WINDOW`, which is what it is
true for. Only where no two of the kubelet's intervals fit between the readings, the counter's
difference divided by the rate is the true window, if that is within the error of the length.

**A kubelet's rate is a claim, too.** One beyond the node's cores is not believed, nor one that the
counter contradicts: the counter must have grown by at least the rate times the window that it is
served with, and the rest of its growth must fit into the rest of the time. Where the kubelet gives
no rate, or none to be believed, the rate is the counter's difference over the length, whose error
is a second of a period: the best there is. There is none where the next answer's is better: between
additional reads, if the error is more than a quarter of the length, and where only the earlier of
the two times is cut to seconds, since it came from the other endpoint. Then the usage before is
served, as it is where one of the clocks jumped between two readings at request time, since nothing
says which: a machine that was paused, ours or the kubelet's, or a clock that was set. What comes
from housekeeping has the kubelet's rate then, which is made of times that do not jump.

**A counter that stands still** has a rate of 0, unless the kubelet still has a rate beside it after
more time than that rate can reach back (`STANDSTILL`). Then nothing is known: a virtual kubelet
writes a minute's usage where the counter belongs, which is the same while the load is steady.

Either way a window reaches from the one reading to the other and no further. They are the last two
where a node is read once a period (else see `windows`), so that after a load step the next reading
shows the new rate.

**A first reading** (new, restarted, recreated, counter went back), and one without a counter, has
the kubelet's own rate with `KUBELET_WINDOW`, or with the time for which the counter has enough, if
that is less; if it is less than a second, the counter contradicts the rate. A rate of 0 may mean
that the kubelet has no second sample yet: it counts as 0 when the counter divided by the age is
about 0 too, or when the kubelet must have two samples by now. Nothing is older than the node's
last answer if it was not in that, whatever its start: a node boots with a clock that may be wrong.
"""

from __future__ import annotations

from msgspec import Struct

from metricsapi.storage.limits import Limits
from metricsapi.storage.timing import Instant, Timing
from metricsapi.storage.types import CpuStats

KUBELET_WINDOW = 10.0  # seconds, served with the kubelet's own rate: its housekeeping interval
ABOUT_ZERO = 1_000_000  # nanocores: an idle container's mean rate since it started is below this
EXACT_SHARE = 0.01  # of a window: an error up to this is served
VAGUE_SHARE = 0.25  # of a window between additional reads: an error beyond this is not served
CLOSE_ERROR = 0.4  # seconds: an error of our clock up to this is less than the kubelet's
RATE_ERROR = 0.04  # the kubelet's rate of a stat read at request time is at most this far off
STANDSTILL = 25.0  # seconds: the kubelet's rate is of usage within so long before a reading
SHORTEST_WINDOW = 1.0  # seconds: no kubelet takes a rate over less
FINEST_STEP = 0.001  # seconds: what kubelets' times are cut to at least
OLDEST_READING = 40.0  # seconds: no reading from housekeeping is older than this
LARGEST_COUNTER = 2**64 - 1  # what the kernel counts in


class Reading(Struct, frozen=True, gc=False):
    """One reading of a CPU counter, and the mean rate that led to it."""

    at: Instant
    counter: int | None  # nanocore-seconds since the start; None where the kubelet has none
    cpu: int | None  # nanocores; None if no rate is known that can be true
    window: float  # seconds that the rate is the mean of, up to the reading; never 0


class Interval(Struct, frozen=True, gc=False):
    """The time between two readings, in seconds, by the clock that knows it better."""

    length: float  # 0: not known
    error: float  # by which the length may be off, either way
    most: float  # nanocore-seconds that the node's cores can give meanwhile
    by_our_clock: bool = False  # not by the kubelet's times
    jumped: bool = False  # one of the clocks has jumped between two readings at request time
    exact: bool = False  # the error is too small to matter
    vague: bool = False  # too uncertain for a rate, and the next answer's interval is less so


def interval(
    last: Instant, new: Instant, timing: Timing, limits: Limits, *, trusted: bool, shortest: float
) -> Interval:
    """Return the time between two readings.

    `trusted` is whether they are of a stat that is known to be read at request time. Where their
    requests are less than `shortest` seconds apart, readings follow that are farther apart.
    """
    ours: tuple[float, float] | None = None
    if trusted and new.moment is not None and last.moment is not None:
        ours = new.moment - last.moment, new.error + last.error
    # A jump is before the answer that shows it, but perhaps after what housekeeping read for it.
    jumped = timing.jumped_at >= last.received + (FINEST_STEP if ours else 0.0)
    by_kubelet = new.time - last.time  # by the kubelet's clock
    step = max(new.step, last.step)  # either time is off by what it is cut to
    # Readings are made at requests, or else a housekeeping interval apart.
    back = by_kubelet + step < (new.requested - last.received) / 2
    ahead = abs(by_kubelet - (new.received - last.received)) > OLDEST_READING
    lost = jumped or back or ahead or by_kubelet < FINEST_STEP
    length, error, by_our_clock = by_kubelet, step, False
    if ours is not None and ours[0] > 0 and (lost or ours[1] <= step):
        length, error, by_our_clock = *ours, True
    if jumped or (lost and not by_our_clock):
        return Interval(0.0, 0.0, 0.0, jumped=jumped and ours is not None)
    small = error <= EXACT_SHARE * length
    close = new.requested - last.requested < shortest
    # The earlier time of the next answer is cut to less, or its readings are farther apart.
    vague = not small and (new.step < last.step or (close and error > VAGUE_SHARE * length))
    most = limits.cpu * (length + error)
    return Interval(length, error, most, by_our_clock, exact=small, vague=vague)


def counter_of(cpu: CpuStats) -> int | None:
    """Return the CPU counter, unless it is a number that no counter can have.

    It is 0 for a container that is not running or not known: what runs has used some time.
    """
    counter = cpu.usage_core_nano_seconds
    return counter if counter is not None and 0 <= counter <= LARGEST_COUNTER else None


def has_usage(cpu: CpuStats, limits: Limits) -> bool:
    """Return whether CPU usage can follow from what a kubelet has, now or with the next reading.

    A counter of 0 may have just begun (kwok), unless the kubelet has a rate beside it.
    """
    counter = counter_of(cpu)
    if counter == 0:
        return cpu.usage_nano_cores is None
    return counter is not None or kubelet_rate(cpu, limits) is not None


def kubelet_rate(cpu: CpuStats, limits: Limits) -> int | None:
    """Return the kubelet's own rate in nanocores, unless the node has not that many cores."""
    rate = cpu.usage_nano_cores
    return rate if rate is not None and 0 <= rate <= limits.cpu else None


def reading_after(
    last: Reading, at: Instant, counter: int, between: Interval, cpu: CpuStats, limits: Limits
) -> Reading:
    """Return the reading of a counter that another one precedes; `cpu` is what the kubelet has."""
    rate: int | None
    grown, length = counter - (last.counter or 0), between.length
    if between.exact and grown > 0:
        rate = round(grown / length)
    elif grown <= 0:  # it stands still, or the last counter was rounded up
        grown, length = 0, length or KUBELET_WINDOW
        stood = length if last.cpu else length + last.window
        used = (kubelet_rate(cpu, limits) or 0) > ABOUT_ZERO
        rate = None if used and stood > STANDSTILL else 0
    elif between.jumped:
        return Reading(at, counter, None, KUBELET_WINDOW)
    else:
        kubelet = kubelet_rate(cpu, limits)
        if not length:
            return first_reading(at, counter, kubelet, None, sampled_twice=False)
        rate, length = _with_kubelet_rate(between, grown, kubelet, limits)
    return Reading(at, counter, rate if grown <= between.most else None, length)


def favours(by_kubelet: float, by_us: Interval, grown: int, kubelet: int | None) -> bool:
    """Return whether the kubelet's rate agrees with its own times and not with our clock.

    `by_kubelet` is in seconds.
    """
    if not kubelet:
        return False
    implied = grown / kubelet
    near = abs(implied - by_us.length) <= EXACT_SHARE * by_us.length + by_us.error
    return not near and abs(implied - by_kubelet) <= 1.0 + EXACT_SHARE * by_kubelet


def _with_kubelet_rate(
    between: Interval, grown: int, kubelet: int | None, limits: Limits
) -> tuple[int | None, float]:
    """Return rate and window where the length of the interval is too uncertain by itself."""
    length, error = between.length, between.error
    if kubelet:
        implied = grown / kubelet
        fits = abs(implied - length) <= error and not between.vague
        if fits and not between.by_our_clock and length + error <= 2 * KUBELET_WINDOW:
            return kubelet, implied
        close = between.by_our_clock and error <= CLOSE_ERROR and not fits
        if not close and _can_be(kubelet, grown, between, limits):
            return kubelet, KUBELET_WINDOW
    return None if between.vague else round(grown / length), length


def _can_be(rate: int, grown: int, between: Interval, limits: Limits) -> bool:
    """Return whether a rate over `KUBELET_WINDOW` and a counter's growth can both be true."""
    shortest, longest = between.length - between.error, between.length + between.error
    used = rate * KUBELET_WINDOW
    outside = limits.cpu * max(0.0, KUBELET_WINDOW - shortest)
    rest = limits.cpu * max(0.0, longest - KUBELET_WINDOW)
    return used <= grown * (1 + RATE_ERROR) + outside and grown <= used * (1 + RATE_ERROR) + rest


def first_reading(
    at: Instant,
    counter: int | None,
    kubelet: int | None,
    age: float | None,
    *,
    sampled_twice: bool,
) -> Reading:
    """Return a reading that no other precedes, with the kubelet's own rate.

    It has none if that means "not known yet" or cannot be. `age` is of the container in seconds,
    None if not known; `sampled_twice` is whether the kubelet must have two samples by now.
    """
    window = KUBELET_WINDOW
    if kubelet == 0:
        zero = sampled_twice or _about_zero(counter, age)
        return Reading(at, counter, 0 if zero else None, window)
    if kubelet is not None and counter is not None:
        window = min(window, counter / kubelet)
        if window < SHORTEST_WINDOW:
            return Reading(at, counter, None, window)
    return Reading(at, counter, kubelet, window)


def _about_zero(counter: int | None, age: float | None) -> bool:
    if counter is None or age is None:
        return False
    return counter / max(1.0, age) <= ABOUT_ZERO
