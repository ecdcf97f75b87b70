"""Windows of nodes that are read more often than once a period: as long, and as right, as ever."""

from __future__ import annotations

from itertools import accumulate
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metricsapi.storage.store import MetricsStore
from tests.storage.simulation import NODE, Load, SimStat, housekeeping, scrapes
from tests.storage.test_never_wrong import container, put
from tests.storage.test_simulated_claims import means
from tests.storage.test_simulated_truth import SEEDS, SKEWS, ask, kubelet, served
from tests.support.decoding import decode_summary

PERIOD = 15.0
ENOUGH = 0.9 * PERIOD
CORE = 10**9
KNOWN = 4  # answers after which a node's clock is known
ANY_GAPS = st.lists(st.floats(1.0, 30.0), min_size=6, max_size=40)
GAPS_OF_THE_SCHEDULE = st.lists(st.floats(5.0, 30.0), min_size=6, max_size=40)


def store_with_period():
    return MetricsStore(max_age=60.0, period=PERIOD)


def bursts(random, until):
    """A load that has another rate every few seconds."""
    times = accumulate(random.expovariate(1 / 4) for _ in range(int(until)))
    return Load((-1e6, 1e9), *((at, random.uniform(1e7, 4e9)) for at in times))


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, skew=SKEWS, gaps=ANY_GAPS)
def test_a_window_is_long_enough_and_its_rate_is_right_whenever_the_node_is_read(seed, skew, gaps):
    random = Random(seed)
    simulated = kubelet(random, [bursts(random, 300) for _ in range(5)], offset=skew)
    store, longest = store_with_period(), max(PERIOD, *gaps) + PERIOD
    asked = [1.0, *accumulate(gaps, initial=16.0)]
    for number, at in enumerate(asked):
        now = ask(store, simulated, at)
        if number < KNOWN:
            continue
        for stat, cpu, window in served(store, simulated, now):
            if stat is simulated.node:
                continue
            assert ENOUGH - 0.05 <= window <= longest
            least, most = means(stat.load, at, now, window)
            edge = 4e9 * (now - at) / window  # of a change of the load at the window's beginning
            assert least * 0.99 - edge <= cpu <= most * 1.01 + edge


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, gaps=GAPS_OF_THE_SCHEDULE)
def test_a_window_is_as_short_as_it_may_be(seed, gaps):
    """No older reading is taken where a newer one is nearly a period old."""
    random = Random(seed)
    simulated = kubelet(random, [Load((-1e6, 1e9))] * 5)
    store, asked = store_with_period(), [1.0, *accumulate(gaps, initial=16.0)]
    for number, at in enumerate(asked):
        now = ask(store, simulated, at)
        if number < KNOWN:
            continue
        shortest = min(at - earlier for earlier in asked[:number] if at - earlier >= ENOUGH)
        windows = {w for stat, _, w in served(store, simulated, now) if stat is not simulated.node}
        assert all(window == pytest.approx(shortest, abs=0.1) for window in windows)


@settings(max_examples=30, deadline=None)
@given(
    seed=SEEDS,
    skew=SKEWS,
    cadvisor=st.booleans(),
    takes=st.sampled_from([0.03, 3.0, 9.0]),
    jump=st.sampled_from([0.0, -3600.0, 0.7, 5.0]),
)
def test_where_nodes_are_read_once_a_period_nothing_depends_on_the_period(
    seed, skew, cadvisor, takes, jump
):
    """However long answers take: the rate is that between the last two readings."""
    random = Random(seed)
    loads = [bursts(random, 300) for _ in range(5)]
    simulated = kubelet(random, loads, cadvisor=cadvisor, offset=skew, jumps=[(100.0, jump)])
    simulated.pods["restarts"] = [SimStat("c", Load((-50.0, CORE)), start=-50.0)]
    store, plain = store_with_period(), MetricsStore(max_age=60.0)
    for number, at in enumerate(scrapes(random, 14, PERIOD, exact=False)):
        if number == 7:
            simulated.pods["restarts"] = [SimStat("c", Load((at - 5, CORE)), start=at - 5)]
        sample = sampled(simulated, at, takes if random.random() < 0.5 else 0.03)
        store.put(sample)
        plain.put(sample)
        now = sample.answered_at
        assert store.node_usage(NODE, now) == plain.node_usage(NODE, now)
        for name in simulated.pods:
            assert store.pod_usage("ns", name, now) == plain.pod_usage("ns", name, now)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, at=st.floats(60, 120), by=st.sampled_from([-3600.0, -2.0, 0.7, 5.0, 86400.0]))
@example(seed=7642, at=106.0, by=-2.0)  # two readings in a row have the same time
def test_a_jump_of_the_kubelets_clock_makes_no_wrong_rate(seed, at, by):
    random = Random(seed)
    rates = [random.uniform(1e6, 4e9) for _ in range(4)]
    simulated = kubelet(random, [Load((-1e6, rate)) for rate in rates], jumps=[(at, by)])
    store = store_with_period()
    for asked in accumulate((random.choice([2.0, 5.0, 15.0]) for _ in range(30)), initial=1.0):
        now = ask(store, simulated, asked)
        for stat, cpu, window in served(store, simulated, now):
            assert 0 < window < 50
            assert cpu == pytest.approx(stat.load.steps[0][1], rel=0.035)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, gaps=ANY_GAPS)
def test_no_rate_reaches_across_a_restart_however_often_the_node_is_read(seed, gaps):
    random = Random(seed)
    simulated = kubelet(random, [Load((-1e6, CORE))] * 5)
    store, last = store_with_period(), 0.9
    for at in accumulate(gaps, initial=1.0):
        if "restarts" not in simulated.pods or random.random() < 0.2:
            began, rate = random.uniform(last + 0.05, at), random.uniform(1e8, 4e9)
            # Its counter is higher than that of the container before, or lower.
            load = Load((began - random.choice([0.0, 1000.0]), rate))
            simulated.pods["restarts"] = [SimStat("c", load, start=began)]
        last = ask(store, simulated, at)
        usage = store.pod_usage("ns", "restarts", last)
        (stat,) = simulated.pods["restarts"]
        if usage is not None and len(stat.history) > 1:
            assert usage.containers[0].cpu == pytest.approx(stat.load.steps[0][1], rel=0.035)


def sampled(simulated, at, takes=0.03):
    body, times = simulated.answer(at, takes=takes)
    return decode_summary(NODE, body, **times)


def window_after(store, *times, started=-1000.0):
    """Read six pods of one core at these times; return the window that is served then."""
    for at in times:
        listed = container(at=at, counter=int((at + 100) * CORE), start=started, rate=CORE)
        pods = [(f"pod-{i}", f"uid-{i}", [listed]) for i in range(6)]
        now = put(store, at, *pods)
    (window,) = {store.pod_usage("ns", f"pod-{i}", now).window for i in range(6)}
    return window


LONG_AGO = (0.0, 15.0, 30.0, 45.0, 60.0)


@pytest.mark.parametrize(
    ("times", "window"),
    [
        ((75.0, 80.0), 20.0),  # since 60
        ((75.0, 80.0, 90.0), 15.0),  # since 75
        ((75.0, 86.5), 26.5),  # since 60, for 11.5 is too short
        ((75.0, 86.5, 90.0), 15.0),  # since 75
        ((75.0, 89.0), 14.0),  # since 75
        ((65.0, 70.0, 75.0, 80.0), 15.0),  # since 65
        (tuple(60.0 + i for i in range(1, 16)), 15.0),  # since 60, in spite of the many reads
    ],
)
def test_the_rate_runs_from_the_newest_reading_that_is_nearly_a_period_old(times, window):
    assert window_after(store_with_period(), *LONG_AGO, *times) == pytest.approx(window)


def test_a_second_reading_soon_after_the_first_gives_a_rate_at_once():
    store = store_with_period()
    window_after(store, *LONG_AGO)
    for at, window in ((65.0, 10.0), (70.0, 5.0), (75.5, 10.5), (82.0, 12.0)):
        new = container(at=at, counter=int((at - 60) * CORE), start=60.0, rate=CORE)
        pods = [
            (f"pod-{i}", f"uid-{i}", [container(at=at, counter=int((at + 100) * CORE), rate=CORE)])
            for i in range(6)
        ]
        now = put(store, at, ("new", "uid", [new]), *pods)
        usage = store.pod_usage("ns", "new", now)
        assert usage.containers[0].cpu == pytest.approx(CORE)
        if at > 65.0:
            assert usage.window == pytest.approx(window)
        else:
            assert usage.window == 5.0  # the kubelet's rate, for as long as the counter has enough


def test_windows_of_a_container_that_has_just_started_are_as_short_as_they_may_be():
    """The HPA counts a new pod once its whole window lies after the pod was ready."""
    reads = (*LONG_AGO, 75.0, 86.0)
    assert window_after(store_with_period(), *reads, 90.0, started=-1000.0) == pytest.approx(15.0)
    young = window_after(store_with_period(), *reads, 97.0, started=-5.0)
    assert young == pytest.approx(11.0)


def test_a_counter_that_outruns_the_cores_costs_the_readings_before_it_and_no_more():
    store = store_with_period()
    window_after(store, *LONG_AGO, 65.0)

    def put_pods(at, ahead):
        first = container(at=at, counter=int((at + 100) * CORE) + ahead, start=-1000.0, rate=CORE)
        other = container(at=at, counter=int((at + 100) * CORE), start=-1000.0, rate=CORE)
        pods = [(f"pod-{i}", f"uid-{i}", [other if i else first]) for i in range(6)]
        return store.pod_usage("ns", "pod-0", put(store, at, *pods))

    before = store.pod_usage("ns", "pod-0", 65.1)
    assert put_pods(70.0, 2**62) == before
    after = put_pods(75.0, 2**62)
    assert (after.window, after.containers[0].cpu) == (pytest.approx(5.0), pytest.approx(CORE))


@pytest.mark.parametrize("period", [0.0, PERIOD])
def test_readings_that_are_repeated_add_nothing(period):
    """A node's own stat is from housekeeping, and is often seen again."""
    store = MetricsStore(max_age=60.0, period=period)
    for at in (100.0, 105.0, 110.0, 115.0, 120.0, 125.0, 130.0):
        tick = at // 10 * 10
        now = put(store, at, node=container("node-a", at=tick, counter=int(tick * CORE), rate=CORE))
        usage = store.node_usage("node-a", now)
        assert usage.timestamp == 1.8e9 + tick
        assert usage.window == pytest.approx(10.0)
        assert usage.cpu == pytest.approx(CORE)


def test_it_is_known_which_nodes_have_stats_that_are_read_at_request_time():
    random = Random(7)
    asked, loads = scrapes(random, 30, PERIOD, exact=False), [Load((-1e6, CORE))] * 6
    for cadvisor in (False, True):
        store, simulated = store_with_period(), kubelet(random, loads, cadvisor=cadvisor)
        assert not store.read_at_request(NODE)
        for at in asked:
            ask(store, simulated, at)
        assert store.read_at_request(NODE) is not cadvisor
    store.forget(NODE)
    assert not store.read_at_request(NODE)


def test_a_nodes_own_usage_is_right_whenever_it_is_read():
    random = Random(3)
    simulated = kubelet(random, [Load((-1e6, CORE))] * 5)
    simulated.node = SimStat(NODE, Load((-1e6, 3e9)), ticks=housekeeping(random, 400.0))
    store = store_with_period()
    for at in accumulate((random.uniform(1, 15) for _ in range(40)), initial=1.0):
        now = ask(store, simulated, at)
        assert store.node_usage(NODE, now).cpu == pytest.approx(3e9, rel=0.02)
