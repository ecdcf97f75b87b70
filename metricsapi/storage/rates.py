"""The rate of one stat, from its last two distinct readings, and the window it is true for.

**The difficulty.** The Summary's times are cut to whole seconds. A counter's difference divided by
their difference is up to 1 s wrong in its window: 6 % at 15 s.

**A stat read at request time** (see `clock`): both true times lie between our request and our
answer, so the window is the difference of our own times, by a clock that never jumps; its error is
what the exchange takes (some 30 ms), not a second. The rate is the counter's difference over that
window.

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

from msgspec import Struct
from msgspec.structs import replace

from metricsapi.storage.clock import Timing, exact_time

KUBELET_WINDOW = 10.0  # seconds, served with the kubelet's own rate: its housekeeping interval
ABOUT_ZERO = 1_000_000  # nanocores: an idle container's mean rate since it started is below this
MOST = 1e15  # nanocores: a million cores are no usage but a broken counter
CLOSEST = 0.5  # seconds: readings nearer to each other than this give no rate worth serving
FINEST = 0.001  # seconds: what kubelets' times are cut to at least
NEAR = 0.04  # the kubelet's rate of a stat read at request time is at most this far off
OLDEST = 40.0  # seconds: no reading from housekeeping is older than this


class Reading(Struct, frozen=True, gc=False):
    """One reading of a CPU counter."""

    time: float  # when, by the kubelet's clock, as its answer has it
    exact: float  # the same with the best estimate of the fraction that the kubelet cut off
    moment: float | None  # when, by our monotonic clock, if it may have been at request time
    received: float  # when the answer came, by our monotonic clock
    counter: int  # nanocore-seconds since the start
    kubelet_rate: int | None  # the kubelet's own rate over its own last interval, in nanocores


class Rate(Struct, frozen=True, gc=False):
    """A mean rate that can be served."""

    cpu: int  # nanocores
    window: float  # seconds, ending at `timestamp`; never 0
    timestamp: float  # by the kubelet's clock
    received: float  # when the reading that ends it came, by our monotonic clock


def first_rate(new: Reading, started: float | None) -> Rate | None:
    """Give the kubelet's own rate, unless it means "not known yet"."""
    rate = new.kubelet_rate
    if rate is None or (rate == 0 and not _idle(new, started)):
        return None
    return _rate(rate, KUBELET_WINDOW, new)


def rate_at_request_time(last: Reading, new: Reading, window: float, timing: Timing) -> Rate | None:
    """Give the rate of a stat read at request time, `window` seconds apart by our clock."""
    grown = new.counter - last.counter
    if timing.jumped_at >= last.received:
        # It may have been our clock that stood still: then the kubelet's rate agrees with the
        # kubelet's times, and not with ours.
        told = new.time - last.time
        implied = grown / new.kubelet_rate if new.kubelet_rate else 0.0
        ours = abs(implied - window) <= NEAR * window
        if not ours and abs(implied - told) <= timing.step + NEAR * told:
            return _rate(new.kubelet_rate, KUBELET_WINDOW, new)
    elif timing.step < CLOSEST and new.time - last.time >= FINEST:
        window = new.time - last.time  # milliseconds beat what the exchange takes
    cpu = round(grown / window)
    return Rate(cpu, window, new.time, new.received) if cpu <= MOST else None


def rate_from_housekeeping(
    last: Reading, new: Reading, started: float | None, timing: Timing
) -> tuple[Rate | None, Reading]:
    """Give the rate of a stat from housekeeping, and its reading with the exact time."""
    window = new.time - last.time
    lost = abs(window - (new.received - last.received)) > OLDEST
    if lost or window < FINEST or timing.jumped_at >= last.received:
        window = 0.0  # these times cannot be true
    rate = _housekept(new.counter - last.counter, window, new, started, timing.step)
    served = rate.window if rate is not None else KUBELET_WINDOW
    return rate, replace(new, exact=exact_time(last.exact + served, new.time, timing.step))


def _housekept(
    grown: int, window: float, new: Reading, started: float | None, step: float
) -> Rate | None:
    kubelet = new.kubelet_rate
    if grown == 0:
        return _rate(0, window or KUBELET_WINDOW, new)
    if kubelet and kubelet <= MOST:
        implied = grown / kubelet
        fits = window and abs(implied - window) <= step
        return _rate(kubelet, implied if fits else KUBELET_WINDOW, new)
    return _rate(round(grown / window), window, new) if window else first_rate(new, started)


def _rate(cpu: int | None, window: float, new: Reading) -> Rate | None:
    if cpu is None or cpu > MOST:
        return None
    return Rate(cpu, window, new.time, new.received)


def _idle(new: Reading, started: float | None) -> bool:
    """Whether a container has used about nothing since it started."""
    if started is None:
        return new.counter == 0
    return new.counter / max(1.0, new.time - started) <= ABOUT_ZERO
