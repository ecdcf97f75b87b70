"""The rate of one stat, from its last two distinct readings, and the window it is true for.

**The difficulty.** The Summary's times are cut to whole seconds. A counter's difference divided by
their difference is up to 1 s wrong in its window: 6 % at 15 s.

**A stat read while the kubelet served our request** (see `nodeclock`): both true times lie between
our request and our answer, so the window is the difference of our own times, by a clock that never
jumps; its error is what the exchange takes (some 30 ms), not a second. The rate is the counter's
difference over that window.

**A stat from housekeeping** has no time of ours, but the kubelet's own rate, which is exact over
its own last interval [t2 - h, t2], since the kubelet has nanoseconds. Two distinct readings have at
least one such interval between them, so it lies inside our window [t1, t2]. Hence that rate is
always between the lowest and the highest of our window, whatever the clocks say; it is the mean
while the load is steady, and the newest rate after a step. And the counter's difference divided by
it is the true window when no interval was skipped between the readings, or the load was steady:
if that fits the truncated times, it is served. If it does not, the load changed or a clock jumped;
the rate is then served with `KUBELET_WINDOW`, which is what it is true for.
Only where the kubelet gives no rate is it the counter's difference over the truncated times.

Either way a window reaches from the one reading to the other and no further, so that after a load
step the next reading shows the new rate.

**A first reading** (new, restarted, recreated, counter went back) has the kubelet's own rate, with
`KUBELET_WINDOW`. A rate of 0 may mean that the kubelet has no second sample yet: it counts as 0
only when the counter divided by the age is about 0 too.
"""

from __future__ import annotations

from math import inf

from metricsapi.storage.clock import LONG_RUN, OLD, Placement, exact_time
from metricsapi.storage.types import ContainerSample, Told, epoch_seconds

KUBELET_WINDOW = 10.0  # seconds, told with the kubelet's own rate: its housekeeping interval
ABOUT_ZERO = 1_000_000  # nanocores: an idle container's mean rate since it started is below this
MOST = 1e15  # nanocores: a million cores are no usage but a broken counter
CLOSEST = 0.5  # seconds: readings nearer to each other than this give no rate worth serving
FINEST = 0.001  # seconds: what kubelets' times are cut to at least
NEAR = 0.04  # the kubelet's rate of a stat read at request time is at most this far off
OLDEST = 40.0  # seconds: no reading from housekeeping is older than this


class Stat:
    """What is remembered of one container or node: its last reading and the rate that led there.

    `start`, `time`, `exact` and `timestamp` are by the kubelet's clock, the others by our monotonic
    clock. `start` is kept as it was told, since comparing that costs less than reading it each
    time. A class with slots: setting one costs a third of what a field of a msgspec Struct does.
    """

    # fmt: off
    __slots__ = ("came", "counter", "cpu", "cpu_since", "ephemeral_storage", "exact", "memory",
                 "memory_since", "memory_time", "moment", "name", "run", "start", "swap", "time",
                 "timestamp", "window")
    # fmt: on

    def __init__(self, name: str, start: Told) -> None:
        self.name = name
        # What is no time is not kept: it could be of any length.
        self.start = start if epoch_seconds(start) is not None else None
        self.time = 0.0  # when the CPU counter was read, as the kubelet says
        self.counter = -1  # nanocore-seconds; -1 before the first reading
        self.exact = 0.0  # `time` with the best estimate of the fraction that was cut off
        self.came = -inf  # when that reading came
        self.moment = 0.0  # when it was made, if it was made while we waited
        self.run = 0  # readings in a row that looked like that
        self.cpu = -1.0  # nanocores; -1 while not known
        self.window = 0.0  # seconds, ending at `timestamp`
        self.timestamp = 0.0
        self.cpu_since = 0.0  # when the last reading with a rate came
        self.memory = -1  # bytes; -1 while not known
        self.memory_time = 0.0
        self.memory_since = 0.0
        self.swap: int | None = None
        self.ephemeral_storage: int | None = None

    @property
    def known(self) -> bool:
        """Whether there is usage to serve."""
        return self.cpu >= 0 and self.memory >= 0


def restarted(stat: Stat, new: ContainerSample) -> bool:
    """Tell whether the sample is of another container (or boot) than the stat."""
    if stat.start == new.start:
        return False
    before, now = epoch_seconds(stat.start), epoch_seconds(new.start)
    return before != now and before is not None and now is not None


def advance(stat: Stat, new: ContainerSample, placed: Placement, needed: int) -> bool:
    """Take a sample of the same container into its stat; tell whether anything changed.

    `needed` are the fresh readings in a row that make us believe that the stat is read at request
    time.
    """
    changed = False
    came = placed.came
    time, counter = new.cpu_time, new.cpu_counter
    memory = new.memory
    if memory is not None:
        memory_time = new.memory_time or time or 0.0
        if memory != stat.memory or memory_time != stat.memory_time:
            stat.memory = memory
            stat.memory_time = memory_time
            stat.memory_since = came
            changed = True
    if new.swap != stat.swap or new.ephemeral_storage != stat.ephemeral_storage:
        stat.swap = new.swap
        stat.ephemeral_storage = new.ephemeral_storage
        changed = True
    if time is None or counter is None:
        return changed
    if (counter != stat.counter or time != stat.time) and came - stat.came >= CLOSEST:
        _read(stat, new, time, counter, placed, needed)
        changed = True
    return changed


def _read(
    stat: Stat,
    new: ContainerSample,
    time: float,
    counter: int,
    placed: Placement,
    needed: int,
) -> None:
    came, step = placed.came, placed.step
    fresh = placed.fresh.get(time)
    run = OLD
    if fresh is not None:
        run = min(stat.run + 1, 1 if placed.anew else LONG_RUN)
    grown = counter - stat.counter
    rate: int | None
    if stat.counter < 0 or grown < 0:
        rate, window = first_rate(new), KUBELET_WINDOW
        stat.exact = fresh.exact if fresh is not None else time + step / 2
        stat.cpu = -1.0
        run = min(run, 1)
    else:
        told = time - stat.time
        jumped = placed.jumped_at >= stat.came
        if fresh is not None and run >= needed and placed.believed:
            ours = fresh.moment - stat.moment
            rate, window = _by_our_clock(new, grown, ours, told, step, jumped=jumped)
            stat.exact = fresh.exact
        else:
            lie = jumped or abs(told - (came - stat.came)) > OLDEST or told < FINEST
            rate, window = _by_kubelet_rate(new, grown, 0.0 if lie else told, step)
            stat.exact = exact_time(stat.exact + window, time, step)
    stat.time, stat.counter, stat.came = time, counter, came
    stat.moment = fresh.moment if fresh is not None else 0.0
    stat.run = run
    if rate is not None and rate <= MOST:
        stat.cpu, stat.window, stat.timestamp, stat.cpu_since = rate, window, time, came


def _by_our_clock(
    new: ContainerSample, grown: int, ours: float, told: float, step: float, *, jumped: bool
) -> tuple[int | None, float]:
    """Give rate and window of a stat read while we waited, `ours` seconds after the last one.

    When a clock jumped, it may have been ours that stood still: then the kubelet's rate agrees with
    the kubelet's times, and not with ours.
    """
    if jumped:
        implied = grown / new.cpu_rate if new.cpu_rate else 0.0
        if abs(implied - told) <= step + NEAR * told and abs(implied - ours) > NEAR * ours:
            return first_rate(new), KUBELET_WINDOW
    elif step < CLOSEST and told >= FINEST:
        return round(grown / told), told  # milliseconds beat what the exchange takes
    return round(grown / ours), ours


def _by_kubelet_rate(
    new: ContainerSample, grown: int, told: float, step: float
) -> tuple[int | None, float]:
    """Give rate and window of a stat from housekeeping.

    `told` is the window by the kubelet's times, 0 when these cannot be true.
    """
    if grown == 0:
        return 0, told or KUBELET_WINDOW
    kubelet = new.cpu_rate
    if kubelet and kubelet <= MOST:
        implied = grown / kubelet
        return kubelet, implied if told and abs(implied - told) <= step else KUBELET_WINDOW
    return (round(grown / told), told) if told else (first_rate(new), KUBELET_WINDOW)


def first_rate(new: ContainerSample) -> int | None:
    """Give the kubelet's own rate in nanocores, unless it means "not known yet"."""
    rate = new.cpu_rate
    if rate is None or rate > MOST:
        return None
    if rate == 0:
        counter = new.cpu_counter or 0
        start = epoch_seconds(new.start)
        if start is None or new.cpu_time is None:
            return 0 if counter == 0 else None
        age = max(1.0, new.cpu_time - start)
        return 0 if counter / age <= ABOUT_ZERO else None
    return rate
