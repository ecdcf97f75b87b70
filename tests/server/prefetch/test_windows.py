"""What prefetch does to the windows of rates, whatever the phases of the queries of a node.

An HPA scales up on noise at once, and the variance of a bursty load's rate is inverse to its
window, unless bursts are as long as that. So windows are no shorter in the mean than without
prefetch; and they are so little longer that an HPA sees the whole of a step no later.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from functools import cache
from itertools import count
from statistics import fmean
from types import SimpleNamespace

import pytest

from metricsapi.storage.windows import Windows
from tests.server.prefetch.simulation import (
    PERIOD,
    Caller,
    Simulation,
    controllers,
    every,
    query,
)

LEARNED, UNTIL = 400.0, 1600.0
WHOLE = 0.9  # of a step of the load
STEP_EACH = 3.7  # seconds, of which no number of periods is a multiple


def evenly(number):
    return lambda rng: [3.0 + (i + rng.uniform(-0.1, 0.1)) * PERIOD / number for i in range(number)]


def at_random(number):
    return lambda rng: [3.0 + rng.random() * PERIOD for _ in range(number)]


def aligned(_rng):
    return [7.0 + i * 0.02 for i in range(10)]


PHASES = {
    **{f"{number} evenly spread": evenly(number) for number in (1, 2, 3, 5, 10, 15)},
    **{f"{number} at random": at_random(number) for number in (2, 3, 5, 10, 30)},
    "10 aligned": aligned,
}


def windows(scrapes, period=PERIOD):
    """Return (read at, runs since) of each rate, in order, by the rule of the store."""
    rule, kept, rates = Windows.of(period), [], []
    for at in scrapes:
        now = SimpleNamespace(requested=at, time=at)
        if kept:
            kept = rule.readings(kept, now, -1e6)
            rates.append((at, kept[0].at.requested))
        kept = [*kept, SimpleNamespace(at=now)]
    return rates


def served(simulation, period=PERIOD):
    """Return for each caller when it asked and the window of the rate that it was given."""
    rates = windows(simulation.scrapes["node"], period)
    ends = [at for at, _ in rates]
    for caller in simulation.callers:
        times = [at for at, _ in caller.ages if at >= LEARNED]
        yield times, [rates[bisect_right(ends, at - 0.1) - 1] for at in times]


@cache
def simulations(phases, *, prefetch):
    made = []
    for seed in range(6):
        callers = [
            Caller(query(f"app-{i}"), every(PERIOD, at, random.Random(seed * 100 + i), 0.1))
            for i, at in enumerate(PHASES[phases](random.Random(seed)))
        ]
        made.append(Simulation(callers, prefetch=prefetch).run(UNTIL))
    return made


def noise(simulations):
    """Return how many times the variance in windows of a period a bursty load's rates have."""
    return fmean(
        PERIOD / (at - since)
        for each in simulations
        for _, rates in served(each)
        for at, since in rates
    )


def delay(simulations, period=PERIOD):
    """Return after how many seconds on average an HPA sees a step of the load as a whole."""
    delays = []
    for each in simulations:
        for times, rates in served(each, period):
            for number in count():
                step = LEARNED + STEP_EACH * number
                if step > each.now - 7.0 * period:
                    break
                first = bisect_left(times, step)
                delays.append(next(
                    asked - step
                    for asked, (at, since) in zip(times[first:], rates[first:], strict=True)
                    if at - step >= WHOLE * (at - since)
                ))  # fmt: skip
    return fmean(delays)


@pytest.mark.parametrize("phases", PHASES)
def test_rates_are_no_noisier_than_without_prefetch(phases):
    assert noise(simulations(phases, prefetch=True)) <= 1.0


@pytest.mark.parametrize("phases", PHASES)
def test_an_hpa_sees_the_whole_of_a_step_no_later_than_without_prefetch(phases):
    plain, fresh = (delay(simulations(phases, prefetch=each)) for each in (False, True))
    assert fresh < plain


@pytest.mark.parametrize("interval", [5.1, 7.0, 8.0, 20.0, 25.0, 30.0, 40.0, 45.0, 60.0])
def test_at_other_intervals_a_step_is_seen_sooner_and_rates_are_no_noisier(interval):
    """The last scrape before that for a query is a period before it, about as exact as queries."""

    def simulated(*, prefetch):
        for seed in range(6):
            rng = random.Random(seed)
            callers = [Caller(query(), every(interval, rng.random() * interval, rng, 0.1))]
            yield Simulation(callers, prefetch=prefetch).run(UNTIL)

    assert noise(simulated(prefetch=True)) <= 1.01
    assert delay(simulated(prefetch=True)) < delay(simulated(prefetch=False)) - 1.0


@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("period", [10.0, 30.0, 60.0])
def test_with_another_period_than_queries_a_step_is_seen_sooner(period, queries):
    plain, fresh = (
        delay(
            [
                Simulation(controllers(queries, seed), prefetch=each, period=period).run(2000.0)
                for seed in range(4)
            ],
            period,
        )
        for each in (False, True)
    )
    assert fresh < plain


@pytest.mark.parametrize("interval", [5.0, 7.0, 10.0, 12.0, 13.0, 20.0, 25.0, 40.0, 60.0])
def test_at_other_intervals_no_window_is_much_shorter_than_a_period(interval):
    callers = [Caller(query(), every(interval, 4.0, random.Random(4), 0.1))]
    rates = [each for _, given in served(Simulation(callers).run(UNTIL)) for each in given]
    assert min(at - since for at, since in rates) >= 0.9 * PERIOD
