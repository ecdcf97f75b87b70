"""Where the time between two readings is too uncertain for a rate, the usage before stays."""

from __future__ import annotations

from math import floor
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metricsapi.storage.store import MetricsStore
from tests.storage.simulation import Load, SimStat, housekeeping
from tests.support.samples import container_stats, node_sample

EPOCH = 1.8e9
CORE = 10**9
SUMMARY, RESOURCE = 1.0, 0.001  # what times are cut to


def put(store, asked, read, *, counter, rate, step=SUMMARY, start=-3600.0):
    """Put an answer with a container that was read at `read`; return the pod's usage."""
    time = EPOCH + floor(read / step) * step
    container = container_stats("c", EPOCH + start, time, counter, rate, time, 4096)
    own = container_stats("node-a", EPOCH - 1e6, time, counter + 10**15, rate, time, 4096)
    sample = node_sample("node-a", asked, asked + 0.02, [("ns", "pod", "u", [container])], own=own)
    sample.time_step = step
    store.put(sample)
    return store.pod_usage("ns", "pod", asked + 0.02)


def steady(store, asked, read, cores, *, clock=0.0, rate=True, **more):
    """The same of one that always used as many cores; its kubelet's clock is ahead by `clock`."""
    counter = int((read + 3600) * cores * CORE)
    kubelet = int(cores * CORE) if rate else None
    return put(store, asked, read + clock, counter=counter, rate=kubelet, **more)


def cores(usage):
    return usage and usage.containers[0].cpu / CORE


def test_between_the_two_endpoints_the_usage_before_is_served():
    """Housekeeping read it at 94.9, which the Summary tells as 94, and then at 109.9."""
    store = MetricsStore(max_age=60.0)
    steady(store, 85.0, 79.9, 0.25)
    before = steady(store, 100.0, 94.9, 0.25)
    assert steady(store, 115.0, 109.9, 0.25, rate=False, step=RESOURCE) == before
    node = store.node_usage("node-a", 115.1)
    assert node.timestamp == EPOCH + 94
    after = steady(store, 130.0, 124.9, 0.25, rate=False, step=RESOURCE)
    assert (cores(after), after.window) == (pytest.approx(0.25), pytest.approx(15.0))
    back = steady(store, 145.0, 139.9, 0.25)
    assert (cores(back), back.window) == (pytest.approx(0.25), pytest.approx(15.0))


@settings(max_examples=40, deadline=None)
@example(2081, 0.5)
@given(st.integers(0, 2**32), st.floats(0.1, 0.9))
def test_whichever_endpoint_is_read_what_housekeeping_has_is_right_or_absent(seed, changes):
    random = Random(seed)
    rate = random.uniform(1e7, 4e9)
    stat = SimStat("c", Load((-1e6, rate)), ticks=housekeeping(random, 400.0))
    store, step, at, served = MetricsStore(max_age=60.0), SUMMARY, 0.0, 0
    for _ in range(20):
        at += random.uniform(14.5, 15.5)
        if random.random() < changes:
            step = RESOURCE + SUMMARY - step
        read = stat.read(at, random)
        kubelet = read.rate if step == SUMMARY else None
        usage = put(store, at, read.at, counter=read.counter, rate=kubelet, step=step)
        if usage is not None:
            assert usage.containers[0].cpu == pytest.approx(rate, rel=0.01)
            served += 1
    assert served >= 10


def test_additional_reads_close_together_give_no_rate_before_their_times_do():
    """A young container of a kubelet without rates, whose times are cut to seconds."""
    store = MetricsStore(max_age=60.0, period=15.0)
    for at in (100.9, 102.1, 103.3):
        assert steady(store, at, at - 0.02, 1.0, rate=False, start=98.0) is None
    usage = steady(store, 105.9, 105.88, 1.0, rate=False, start=98.0)
    assert usage.window == 5.0  # since the first
    assert cores(usage) == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize("rate", [True, False])
def test_a_clock_that_was_set_back_by_most_of_a_window_makes_no_wrong_rate(rate):
    """By the kubelet's clock 4 s passed between two answers that are 15 s apart."""
    store = MetricsStore(max_age=60.0)
    for asked, read in ((100.0, 94.9), (115.0, 107.6)):
        before = steady(store, asked, read, 0.25, rate=rate)
    usage = steady(store, 130.0, 120.7, 0.25, rate=rate, clock=-9.0)
    assert cores(usage) == pytest.approx(0.25, rel=0.1)
    assert rate or usage == before
    assert cores(steady(store, 145.0, 133.0, 0.25, rate=rate, clock=-9.0)) == pytest.approx(
        0.25, rel=0.1
    )


def test_where_every_node_is_read_every_two_seconds_there_is_nothing_to_wait_for():
    store = MetricsStore(max_age=60.0, period=2.0)
    for at in (100.0, 102.0, 104.0):
        usage = steady(store, at, at - 0.02, 1.0, rate=False, start=98.0)
    assert cores(usage) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("rate", [True, False])
@pytest.mark.parametrize("by", [-3600.0, -9.0, -2.0, 3.0, 12.0, 120.0, 1800.0])
@pytest.mark.parametrize("paused", ["server", "node"])
def test_a_pause_or_a_clock_that_is_set_makes_no_wrong_rate(paused, by, rate):
    """One core was used before; the machine on which nothing was paused used two meanwhile."""
    store = MetricsStore(max_age=60.0)
    used, clock = 3600.0, 0.0
    for at in (100.0, 115.0, 130.0, 145.0, 160.0, 175.0):
        used += 15.0
        if at == 160.0:
            clock = by  # the kubelet's clock minus ours, from here on
            used += 2 * by if paused == "server" and by > 0 else 0.0
        kubelet = CORE if rate else None
        time = EPOCH + floor(at + clock)
        listed = [
            (
                "ns",
                f"p{i}",
                "u",
                [container_stats("c", EPOCH, time, int(used * CORE), kubelet, time, 9)],
            )
            for i in range(6)
        ]
        store.put(node_sample("node-a", at, at + 0.02, listed))
        usage = store.pod_usage("ns", "p0", at + 0.02)
        if usage is not None:
            assert cores(usage) == pytest.approx(1.0, rel=0.01)
        if at == 160.0:
            assert usage.timestamp == EPOCH + 145
    assert usage.timestamp == EPOCH + floor(175.0 + by)


def test_what_housekeeping_reads_is_served_on_while_its_clock_jumps():
    """Its rate is the kubelet's own; five others are read at request time and show the jump."""
    store = MetricsStore(max_age=60.0)
    for number in range(14):
        at, clock = 100.0 + 15 * number, -3600.0 if number in {8, 9} else 0.0
        read = at - (3.3 if number % 2 else 8.8)

        def item(moment, clock=clock):
            time = EPOCH + floor(moment + clock)
            return container_stats(
                "c", EPOCH - 1e5, time, int((moment + 1e5) * CORE), CORE, time, 4096
            )

        listed = [("ns", f"p{i}", "u", [item(at + 0.01)]) for i in range(5)]
        listed.append(("ns", "housekept", "u", [item(read)]))
        store.put(node_sample("node-a", at, at + 0.02, listed))
        usage = store.pod_usage("ns", "housekept", at + 0.02)
        assert usage.timestamp == EPOCH + floor(read + clock)
        assert cores(usage) == pytest.approx(1.0, rel=0.01)
