"""The rate of one stat, from its last two distinct readings, and the window it is true for.

**The difficulty.** The Summary's times are cut to whole seconds. A counter's difference divided by
their difference is up to 1 s wrong in its window: 6 % at 15 s.

**A stat read while the kubelet served our request** (see `nodeclock`): both true times lie between
our request and our answer, so the window is the difference of our own times, by a clock that never
jumps; its error is what the exchange takes (some 30 ms), not a second. The rate is the counter's
difference over that window.

**A stat from housekeeping** has no time of ours, but the kubelet's own rate, which is exact over
its own last interval [t2 - h, t2], since the kubelet has nanoseconds. Two distinct readings have
at least one interval between them, so it lies inside our window [t1, t2]. Hence:
- no interval was skipped: the counter's difference / the kubelet's rate is the true window;
- one was skipped, but the load is steady: the same holds;
- one was skipped and the load changed: that quotient may be no possible window. The true window is
  within one second of the truncated one, so the true mean rate is between difference / (window + 1)
  and difference / (window - 1). The kubelet's rate, and every value between it and the mean, is
  between the lowest and the highest rate of our window; so the kubelet's rate limited to those two
  bounds is, too, and its window is a possible one again. When it is so far outside that the rate of
  the rest of the window must be as far on the other side, the truncated window is the best guess.
- A clock that jumped between the readings makes the truncated window a lie. Where that is known, or
  where the kubelet's own rate stood still, its rate is served as after a first reading.

Either way a window reaches from the one reading to the other and no further, so that after a load
step the next reading shows the new rate.

**A first reading** (new, restarted, recreated, counter went back) has the kubelet's own rate, with
`KUBELET_WINDOW`. A rate of 0 may mean that the kubelet has no second sample yet: it counts as 0
only when the counter divided by the age is about 0 too.
"""

from __future__ import annotations

from math import inf

from msgspec import Struct

from metricsapi.nodeclock import LONG_RUN, Placement
from metricsapi.samples import ContainerSample

KUBELET_WINDOW = 10.0  # seconds, told with the kubelet's own rate: its housekeeping interval
ABOUT_ZERO = 1_000_000  # nanocores: an idle container's mean rate since it started is below this
MOST = 10**15  # nanocores: a million cores are no usage but a broken counter
CLOSEST = 0.5  # seconds: readings nearer to each other than this give no rate worth serving
NEAR = 0.04  # the kubelet's rate of a stat read at request time is at most this far off
STEADY = 0.02


class Stat(Struct, gc=False):
    """What is remembered of one container or node: its last reading and the rate that led there.

    `start`, `time`, `exact` and `timestamp` are by the kubelet's clock, the others by our monotonic
    clock.
    """

    name: str
    start: float | None
    time: float = 0.0  # when the CPU counter was read, as the kubelet says
    counter: int = -1  # nanocore-seconds; -1 before the first reading
    exact: float = 0.0  # `time` with the best estimate of the fraction that was cut off
    came: float = -inf  # when that reading came
    moment: float = 0.0  # when it was made, if it was made while we waited
    run: int = 0  # readings in a row that looked like that
    cpu: int = -1  # nanocores; -1 while not known
    window: float = 0.0  # seconds, ending at `timestamp`
    timestamp: float = 0.0
    cpu_since: float = 0.0  # when the last reading with a rate came
    memory: int = -1  # bytes; -1 while not known
    memory_time: float = 0.0
    memory_since: float = 0.0
    swap: int | None = None
    ephemeral_storage: int | None = None

    @property
    def known(self) -> bool:
        """Whether there is usage to serve."""
        return self.cpu >= 0 and self.memory >= 0


def restarted(stat: Stat, new: ContainerSample) -> bool:
    """Tell whether the sample is of another container (or boot) than the stat."""
    return stat.start != new.start and stat.start is not None and new.start is not None


def advance(
    stat: Stat, new: ContainerSample, came: float, placed: Placement, needed: int, step: float
) -> bool:
    """Take a sample of the same container into its stat; tell whether anything changed.

    `came` is when we got it, `needed` the fresh readings in a row that make us believe that the
    stat is read at request time, `step` what its times are cut to.
    """
    changed = False
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
        _read(stat, new, time, counter, came, placed, needed, step)
        changed = True
    return changed


def _read(
    stat: Stat,
    new: ContainerSample,
    time: float,
    counter: int,
    came: float,
    placed: Placement,
    needed: int,
    step: float,
) -> None:
    moment = placed.moments.get(time)
    run = min(stat.run + 1, LONG_RUN) if moment is not None else 0
    grown = counter - stat.counter
    rate: int | None
    if stat.counter < 0 or grown < 0:
        rate, window = first_rate(new), KUBELET_WINDOW
        stat.exact = time + step / 2
        stat.cpu = -1
        run = min(run, 1)
    else:
        ours = moment - stat.moment if moment is not None and run >= needed else 0.0
        jumped = placed.jumped_at > stat.came
        if ours > 0:
            rate, window = _by_our_clock(stat, new, grown, ours, jumped, step)
        elif jumped or placed.jumped_at == stat.came:
            rate, window = first_rate(new), KUBELET_WINDOW
        else:
            rate, window = _by_kubelet_rate(stat, new, grown, time - stat.time, step)
        stat.exact = min(max(stat.exact + window, time), time + step * 0.999)
    stat.time, stat.counter, stat.came = time, counter, came
    stat.moment = moment if moment is not None else 0.0
    stat.run = run
    if rate is not None and rate <= MOST:
        stat.cpu, stat.window, stat.timestamp, stat.cpu_since = rate, window, time, came


def _by_our_clock(
    stat: Stat, new: ContainerSample, grown: int, ours: float, jumped: bool, step: float
) -> tuple[int | None, float]:
    """Give rate and window of a stat that was read while we waited, `ours` seconds after the last.

    When a clock jumped, it may have been ours that stood still: then the kubelet's rate tells.
    """
    if jumped:
        kubelet = new.cpu_rate
        if kubelet and abs(grown / kubelet - ours) > NEAR * ours:
            return first_rate(new), KUBELET_WINDOW
    elif step < CLOSEST:
        told = (new.cpu_time or 0.0) - stat.time
        if told > 0:
            return round(grown / told), told  # milliseconds beat what the exchange takes
    return round(grown / ours), ours


def _by_kubelet_rate(
    stat: Stat, new: ContainerSample, grown: int, told: float, step: float
) -> tuple[int | None, float]:
    """Give rate and window of a stat from housekeeping, `told` seconds by the kubelet's times."""
    if told <= 0:
        return first_rate(new), KUBELET_WINDOW
    kubelet = new.cpu_rate
    if grown == 0 or not kubelet or kubelet > MOST:
        return round(grown / told), told
    implied = grown / kubelet
    if told - step <= implied <= told + step:
        return kubelet, implied
    if abs(kubelet - stat.cpu) <= STEADY * kubelet:
        return kubelet, KUBELET_WINDOW  # a clock jumped rather than the load
    if abs(implied - told) >= step * told / KUBELET_WINDOW:
        return round(grown / told), told
    possible = told + step if implied > told else told - step
    return round(grown / possible), possible


def first_rate(new: ContainerSample) -> int | None:
    """Give the kubelet's own rate in nanocores, unless it means "not known yet"."""
    rate = new.cpu_rate
    if rate is None or rate > MOST:
        return None
    if rate == 0:
        counter = new.cpu_counter or 0
        if new.start is None or new.cpu_time is None:
            return 0 if counter == 0 else None
        age = max(1.0, new.cpu_time - new.start)
        return 0 if counter / age <= ABOUT_ZERO else None
    return rate
