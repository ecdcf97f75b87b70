"""Which queries are predicted, when, and how many are remembered."""

import itertools
import random
import sys
from itertools import islice
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.server.prefetch.learner import LARGEST_TEXTS, MISSES, Learner
from tests.server.prefetch.simulation import every, query


def learned(times, learner=None):
    """Return what a learner remembers of a query that came at these times."""
    learner = Learner() if learner is None else learner
    known = None
    for at in times:
        known = learner.observe(query(), at) or known
    return known


def forget_stopped(learner, now):
    for _ in learner.forget_stopped(now):
        pass


def expected(known, after):
    return next(iter(known.expected(after, after + 1000.0)), None)


@pytest.mark.parametrize("interval", [5.0, 10.0, 15.0, 20.0, 60.0, 120.0])
def test_the_interval_is_learned_whatever_it_is(interval):
    known = learned(i * interval for i in range(6))
    assert expected(known, 5 * interval) == pytest.approx(6 * interval)
    assert known.expected(5 * interval, 8 * interval) == pytest.approx(
        [6 * interval, 7 * interval, 8 * interval]
    )


def test_nothing_is_expected_of_the_first_queries():
    assert expected(learned([0.0]), 0.0) is None
    assert expected(learned([0.0, 15.0, 30.0]), 30.0) is None
    assert expected(learned([0.0, 15.0, 30.0, 45.0]), 45.0) == pytest.approx(60.0)


@given(st.integers(0, 1000), st.sampled_from([5.0, 15.0, 30.0, 60.0]))
def test_what_a_controllers_queue_adds_is_learned(seed, interval):
    """Interval plus 0 to 300 ms each cycle: the next query comes within the lead."""
    rng = random.Random(seed)
    times = list(islice(every(interval, 3.0, rng), 40))
    learner = Learner()
    for number, (at, following) in enumerate(itertools.pairwise(times)):
        known = learned([at], learner)
        if number >= 3:
            assert abs(expected(known, at) - following) <= 0.3
            assert known.lead(0.1) == 0.5


@given(st.integers(0, 1000))
def test_equal_queries_within_a_second_are_one(seed):
    """An HPA with CPU and memory asks twice within milliseconds."""
    rng = random.Random(seed)
    starts = [i * 15.0 for i in range(8)]
    known = learned(at + late for at in starts for late in (0.0, rng.random() * 0.1, 0.3))
    assert expected(known, 105.3) == pytest.approx(120.0)


def predicted_share(gap):
    """Return how often a next query is expected, of a query whose gaps `gap` draws."""
    predicted = []
    for seed in range(60):
        rng, learner, at = random.Random(seed), Learner(), 0.0
        for number in range(80):
            known = learned([at], learner)
            if number > 20 and known is not None:
                predicted.append(expected(known, at) is not None)
            at += gap(rng)
    return sum(predicted) / len(predicted)


def test_queries_with_a_jitter_of_5_s_are_not_predicted():
    """Sixteen of them may be close to each other by chance, though."""
    assert predicted_share(lambda rng: 15.0 + (rng.random() * 2 - 1) * 5.0) < 0.02


@pytest.mark.parametrize("mean", [2.0, 5.0, 15.0, 30.0, 60.0])
def test_queries_at_random_times_are_not_predicted(mean):
    assert predicted_share(lambda rng: rng.expovariate(1 / mean)) < 0.01


def test_the_lead_follows_errors_and_the_nodes_answer_time_from_half_a_second_to_three():
    exact = learned(i * 15.0 for i in range(20))
    assert exact.lead(0.0) == exact.lead(0.1) == 0.5
    assert exact.lead(1.1) == 1.25
    assert exact.lead(2.9) == 3.0
    assert exact.lead(3.1) == inf  # later, usage would always miss the query
    rng = random.Random(1)
    inexact = learned(i * 15.0 + rng.random() * 2 for i in range(20))
    assert 1.0 <= inexact.lead(0.1) <= 2.0


def test_after_a_restart_of_the_controller_queries_are_expected_at_their_new_times():
    known = learned([i * 15.0 for i in range(12)] + [172.0])
    assert expected(known, 172.0) == pytest.approx(187.0)


def test_a_query_that_another_replica_answered_changes_nothing():
    """Without --leader-elect each replica gets about every second query."""
    rng = random.Random(7)
    times = [at for at in islice(every(15.0, 0.0, rng), 60) if rng.random() < 0.5]
    known = learned(times)
    assert expected(known, times[-1]) == pytest.approx(times[-1] + 15.15, abs=0.3)


def test_a_new_interval_is_learned():
    slower = learned(
        itertools.chain((i * 15.0 for i in range(20)), (300 + i * 40.0 for i in range(20)))
    )
    assert expected(slower, 1060.0) == pytest.approx(1100.0)
    faster = learned(
        itertools.chain((i * 60.0 for i in range(20)), (1200 + i * 15.0 for i in range(20)))
    )
    assert expected(faster, 1485.0) == pytest.approx(1500.0)


def test_a_query_that_stops_is_expected_a_few_times_more_and_then_forgotten():
    counts = []
    forgotten = []
    learner = Learner(lambda came, missed: counts.append((came, missed)), forgotten.append)
    known = learned((i * 15.0 for i in range(6)), learner)
    assert counts == [(1, 0), (1, 0)]
    last = 75.0
    assert expected(known, last + MISSES * 15.0 - 1) == pytest.approx(last + MISSES * 15.0)
    assert expected(known, last + MISSES * 15.0 + 1) is None
    forget_stopped(learner, last + MISSES * 15.0 + 1)
    assert len(learner) == 1
    forget_stopped(learner, last + MISSES * 15.0 + 15)
    assert (len(learner), forgotten, counts[-1]) == (0, [known], (0, MISSES))


def test_a_query_that_comes_again_after_it_had_stopped_begins_anew():
    forgotten = []
    learner = Learner(forgotten=forgotten.append)
    before = learned((i * 15.0 for i in range(6)), learner)
    after = learned([1000.0], learner)
    assert forgotten == [before]
    assert after is not before
    assert expected(after, 1000.0) is None


def test_a_query_that_came_once_is_forgotten():
    learner = Learner()
    learned([0.0], learner)
    forget_stopped(learner, 299.0)
    assert len(learner) == 1
    forget_stopped(learner, 301.0)
    assert len(learner) == 0


def test_late_and_missed_queries_are_counted():
    counts = []
    learner = Learner(lambda came, missed: counts.append((came, missed)))
    learned([0.0, 15.0, 30.0, 45.0, 60.2, 105.0, 124.0], learner)
    assert counts == [(1, 0), (0, 2), (0, 1)]


def test_a_user_keeps_its_most_recent_queries_and_takes_the_place_of_no_other():
    learner = Learner(per_user=3, in_all=5)
    hpa = [query(f"app-{i}") for i in range(2)]
    for each in hpa:
        learner.observe(each, 0.0)
    for number in range(1000):
        learner.observe(query(f"random-{number}", user="mallory"), float(number) / 100)
    assert len(learner) == 5
    for number in range(100):
        assert learner.observe(query("x", user=f"user-{number}"), 11.0) is None
    assert all(learner.observe(each, 15.0).last == 15.0 for each in hpa)
    assert learner.observe(query("random-999", user="mallory"), 15.0).gaps is not None
    assert learner.observe(query("random-1", user="mallory"), 15.0).gaps is None


@pytest.mark.parametrize("character", ["x", "é", "日", "🦊"])
def test_a_query_whose_texts_take_much_memory_is_not_remembered(character):
    width = sys.getsizeof(character * 3) - sys.getsizeof(character * 2)
    learner, most = Learner(), LARGEST_TEXTS // width
    for texts in ({"name": character * most}, {"user": character * most}):
        assert learner.observe(query(**texts), 0.0) is None
    assert len(learner) == 0
    assert learner.observe(query(character * (most // 2)), 0.0) is not None


def test_hundreds_of_hpas_that_come_and_go_leave_nothing():
    learner, rng = Learner(), random.Random(3)
    for number in range(400):
        start = number * 2.0
        for at in islice(every(15.0, start, rng), 8):
            learner.observe(query(f"app-{number}"), at)
    forget_stopped(learner, 400 * 2.0 + 8 * 16 + 300)
    assert len(learner) == 0


def test_queries_may_come_and_users_vanish_while_those_that_have_stopped_are_forgotten():
    forgotten = []
    learner = Learner(forgotten=forgotten.append, per_user=50, in_all=120)
    for number in range(300):
        learner.observe(query(f"x{number}", user=f"user-{number % 3}"), number * 0.01)
    before, rng = len(learner), random.Random(4)
    for _ in learner.forget_stopped(400.0):
        number = rng.randrange(300)
        learner.observe(query(f"x{number}", user=f"user-{number % 3}"), 400.0)
    assert before == 120
    assert len(learner) <= 120
    forget_stopped(learner, 1000.0)
    assert len(learner) == 0
    assert len(forgotten) == len(set(map(id, forgotten)))


@given(st.lists(st.floats(0.0, 1e6), max_size=60))
def test_any_times_whatever_are_taken(times):
    """Also times that go back, as those of another replica may."""
    learner = Learner()
    for at in times:
        known = learner.observe(query(), at)
        if known is not None:
            assert all(after > at for after in known.expected(at, at + 100.0))
