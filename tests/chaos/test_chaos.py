"""Plans of chaos are repeatable, and seeds that failed once pass now."""

import random

import pytest

from tests.chaos.__main__ import run
from tests.chaos.faults import FAULTS, OWN_CLOCK, Scope
from tests.chaos.schedule import OF_NODES, Planned, Schedule, plan
from tests.support.mutations import mutated_bytes, mutated_json

SEEDS = [(2, 6.0)]  # a short plan, and those that failed once: (seed, seconds)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("seed", "seconds"), SEEDS)
async def test_all_that_must_hold_holds_under_chaos(tmp_path, seed, seconds):
    observer = await run(seed, seconds, tmp_path)
    assert observer.problems == [], [str(entry) for entry in observer.schedule.planned]
    assert observer.checks > 0
    assert observer.queries > 0


def test_a_seed_is_always_the_same_plan():
    first, second = (plan(5, 60.0, 50) for _ in range(2))
    assert [str(entry) for entry in first] == [str(entry) for entry in second]
    assert len(first) > 30
    assert all(0 <= entry.begins < entry.ends <= 60.0 for entry in first)


def test_in_many_plans_every_fault_occurs():
    drawn = {entry.fault.name for seed in range(60) for entry in plan(seed, 60.0, 50)}
    assert drawn == {fault.name for fault in (*FAULTS, OWN_CLOCK)}


def test_two_faults_are_never_at_one_node_at_once():
    for seed in range(20):
        of_nodes = [entry for entry in plan(seed, 60.0, 50) if entry.fault.scope in OF_NODES]
        for entry in of_nodes:
            for other in of_nodes:
                if entry is not other and entry.begins < other.ends and other.begins < entry.ends:
                    assert not set(entry.nodes) & set(other.nodes)


def test_a_node_is_well_again_some_time_after_its_last_fault():
    planned = plan(1, 60.0, 50)
    schedule = Schedule(planned)
    entry = next(
        entry for entry in planned if entry.fault.scope is Scope.NODES and not entry.fault.lies
    )
    (index, *_) = entry.nodes
    assert schedule.healthy_since(index, 100.0, grace=5.0)
    entry.began = 100.0
    assert not schedule.healthy_since(index, 103.0, grace=5.0)
    entry.ended = 104.0
    assert not schedule.healthy_since(index, 108.0, grace=5.0)
    assert schedule.healthy_since(index, 110.0, grace=5.0)


def test_after_lies_a_node_is_well_once_its_kubelet_has_read_it_as_often_as_is_needed():
    """A fault that follows at once delays the first reading of these, and a later one does not."""
    lies, other = (
        next(f for f in FAULTS if f.lies is lying and f.scope is Scope.NODES)
        for lying in (True, False)
    )

    def healthy_at(*faults, ticks):
        planned = [
            Planned(fault, began, ended, [6], 0, began, ended) for fault, began, ended in faults
        ]
        schedule = Schedule(planned)
        return next(now for now in range(200) if schedule.healthy_since(6, now + 0.1, 5.0, ticks))

    first = (lies, 10.0, 13.0)
    assert [healthy_at(first, ticks=ticks) for ticks in (1, 2)] == [38, 58]
    assert healthy_at(first, (other, 15.0, 19.0), ticks=2) == 64
    assert healthy_at(first, (other, 19.0, 23.0), ticks=2) == 58
    assert healthy_at((other, 10.0, 13.0), ticks=2) == 18


def test_documents_are_changed_and_the_same_for_the_same_random_numbers():
    body = (
        b'{"node": {"nodeName": "a", "cpu": {"time": "x", "n": 5}}, "pods": [{"b": 1}, {"b": 2}]}'
    )
    for mutate in (mutated_bytes, mutated_json):
        made = [mutate(random.Random(seed), body) for seed in range(200)]
        assert made == [mutate(random.Random(seed), body) for seed in range(200)]
        assert len(set(made)) > 150
