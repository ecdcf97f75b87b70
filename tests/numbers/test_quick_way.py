"""The quick way through a steady pod's samples ends where the thorough one does."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi import steady as module
from metricsapi.collect.summary import decode_summary
from metricsapi.steady import advance_steadily
from metricsapi.store import MetricsStore
from tests.numbers.simulation import NODE, Load, SimKubelet, SimStat, housekeeping, scrapes

TURNS = 16
PERIOD = 15.0
STILL = "2027-01-15T08:00:00Z"


def never(*_):
    return False


def kubelet(random, *, steady):
    """A node with pods read on request; unless `steady`, also with what casts doubt on that."""

    def container(name, *, housekept=False):
        load = Load((-1000.0, random.uniform(0, 1e9)), (random.uniform(0, 200), 1e8))
        ticks = housekeeping(random, TURNS * PERIOD + 60) if housekept else []
        return SimStat(name, load, ticks=ticks)

    pods = {f"pod-{i}": [container("a"), container("b")] for i in range(random.randint(2, 6))}
    node = container(NODE, housekept=True)
    made = SimKubelet(random, node, pods, offset=1.795e9 + random.uniform(-50, 50))
    if not steady:
        pods["kept"] = [container("a"), container("b", housekept=True)]
        made.jumps = [(random.uniform(0, 300), random.choice([-40.0, -1.5, 2.0, 90.0]))]
    return made


def disturb(random, simulated, at):
    """Restart a container, recreate a pod, set a counter back, let a container come or a pod go."""
    name = random.choice(sorted(simulated.pods))
    event = random.choice(["restart", "recreate", "leave", "come", "back"])
    fresh = SimStat("a", Load((at - 5.0, 2e8)), start=at - 5.0)
    if event == "restart":
        simulated.pods[name][0] = fresh
    elif event == "recreate":
        simulated.uids[name] = f"{name}-at-{at}"
        simulated.pods[name] = [fresh]
    elif event == "back":
        first = simulated.pods[name][0]
        first.load = Load((at - 5.0, 2e8))
    elif event == "leave" and len(simulated.pods) > 1:
        del simulated.pods[name]
    elif event == "come":
        simulated.pods[name] = [*simulated.pods[name], SimStat(f"c{at:.0f}", Load((at - 5.0, 1e8)))]


def all_of(store, now):
    """All that can be asked of a store."""
    readings = list(store.readings(now))
    pods = sorted({(one.namespace, one.pod) for one in readings if one.pod})
    usages = [store.pod_usage(*pod, now) for pod in pods]
    return readings, usages, store.node_usage(NODE, now), store.holding(NODE)


@given(st.integers(0, 2**32), st.booleans())
def test_both_ways_give_the_same_whatever_happens(seed, exact):
    random = Random(seed)
    simulated = kubelet(random, steady=False)
    quick, thorough = MetricsStore(max_age=60.0), MetricsStore(max_age=60.0)
    for at in scrapes(random, TURNS, PERIOD, exact=exact):
        if random.random() < 0.4:
            disturb(random, simulated, at)
        body, times = simulated.answer(at)
        for repeated in range(1 + (random.random() < 0.1)):
            now = times["answered_at"] + repeated
            sample = decode_summary(NODE, body, **{**times, "answered_at": now})
            for one in sample.pods[0].containers:
                # A memory reading that stands still.
                one.memory.time, one.memory.working_set_bytes = STILL, 4096
            quick.put(sample)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, "advance_steadily", never)
                thorough.put(sample)
            assert all_of(quick, now) == all_of(thorough, now)


def test_a_steady_node_goes_the_quick_way_from_its_fourth_answer_on(monkeypatch):
    went = []

    def noted(*arguments):
        went.append(advance_steadily(*arguments))
        return went[-1]

    monkeypatch.setattr(module, "advance_steadily", noted)
    random = Random(1)
    simulated, store = kubelet(random, steady=True), MetricsStore(max_age=60.0)
    for turn, at in enumerate(scrapes(random, TURNS, PERIOD, exact=True)):
        went.clear()
        body, times = simulated.answer(at)
        store.put(decode_summary(NODE, body, **times))
        if turn >= 3:
            assert went == [True] * len(simulated.pods)
