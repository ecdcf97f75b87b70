"""When nodes are scraped for the queries that are expected: ages and budgets in simulated time."""

import random
from itertools import count
from statistics import mean, median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.prefetch.simulation import (
    PERIOD,
    SHORTEST,
    Caller,
    Simulation,
    controllers,
    every,
    query,
)

LEARNED = 300.0  # seconds after which every query was learned
INTERVALS = [1.1, 5.0, 5.2, 7.0, 7.5, 10.0, 14.9, 15.0, 15.1, 20.0, 61.0, 240.0]


def simulated(queries, nodes, *, until=1200.0, **options):
    """Return simulations of so many nodes, each with so many queries at phases of its own."""
    return [Simulation(controllers(queries, seed), **options).run(until) for seed in range(nodes)]


def typical(simulations):
    """Return the median age of usage at queries, once they were learned."""
    return median(age for each in simulations for age in each.ages(since=LEARNED))


def test_without_prefetch_usage_is_half_a_period_old():
    assert typical(simulated(10, 20, prefetch=False)) == pytest.approx(7.5, abs=0.5)


def test_for_one_phase_usage_is_fresh_at_no_more_scrapes_than_before():
    simulations = simulated(1, 20)
    assert typical(simulations) < 0.6
    assert all(each.reads(LEARNED) <= 1.0 for each in simulations)
    assert all(age < 1.5 for each in simulations for age in each.ages(since=LEARNED))


@pytest.mark.parametrize("interval", [14.99, 15.0, 15.001, 15.01, 15.05, 15.25, 30.0])
@pytest.mark.parametrize("phase", [0.0, 0.001, 0.25, 0.499])
def test_at_whatever_phase_a_query_comes_usage_is_at_most_a_step_older(interval, phase):
    """Moments are multiples of a step: an interval may be one too, or drift past them."""
    times = (4.0 + phase + i * interval for i in count())
    simulation = Simulation([Caller(query(), times)]).run(1200.0)
    assert max(simulation.ages(since=LEARNED)) < 0.6
    assert simulation.reads(LEARNED) <= 1.01


@pytest.mark.parametrize(("queries", "age"), [(3, 2.0), (10, 4.5)])
def test_for_several_phases_the_budget_takes_most_age_away(queries, age):
    simulations = simulated(queries, 40)
    assert typical(simulations) < age
    assert all(each.reads(LEARNED) <= 1.27 for each in simulations)


@pytest.mark.parametrize("queries", [1, 3, 10])
def test_a_node_whose_stats_are_not_made_at_request_time_is_scraped_no_more_often(queries):
    simulations = simulated(queries, 10, exact=False)
    assert all(each.reads(LEARNED) <= 1.02 for each in simulations)
    assert typical(simulations) < typical(simulated(queries, 10, prefetch=False)) - 2


def spread_evenly(seed):
    """Return ten callers 1.5 s apart, whose queries come again 15.03 s and up to 0.03 s later."""
    rngs = [random.Random(seed * 10 + i) for i in range(10)]
    return [Caller(query(f"app-{i}"), every(15.03, 3.0 + i * 1.5, rng, 0.03))
            for i, rng in enumerate(rngs)]  # fmt: skip


def test_phases_that_are_spread_evenly_get_usage_hardly_older_than_at_even_scrapes():
    """No moment is better than another: a scrape each 12 s would leave the least age, 6 s.

    But no rate runs over 12 s, and windows of two gaps would show a change later.
    """
    simulations = [Simulation(spread_evenly(seed)).run(1200.0) for seed in range(10)]
    assert mean(age for each in simulations for age in each.ages(since=LEARNED)) < 6.2
    assert all(each.reads(LEARNED) <= 1.27 for each in simulations)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("queries", [1, 3, 10, 30])
def test_nodes_of_the_same_queries_are_soon_scraped_together(queries, exact):
    """Whatever they were scraped for before: an HPA gets the sum of all, and sees a change whole
    only when each of them was scraped after it.
    """
    starts = {f"node-{i}": 100.0 + i * 1.9 for i in range(16)}

    def wanted(node, last):
        return [at for at in (starts[node], starts[node] + 7.0) if at > last]

    simulation = Simulation([], nodes=starts, exact=exact, wanted=wanted)
    for caller in controllers(queries, seed=queries):
        simulation.add(Caller(caller.query, caller.times, tuple(starts)))
    for node, at in starts.items():
        simulation.call_at(at, simulation.plan, node)
    simulation.run(900.0)
    assert len({tuple(at for at in simulation.scrapes[node] if at > 600.0) for node in starts}) == 1


@pytest.mark.parametrize("queries", [40, 100, 400])
def test_more_queries_than_are_planned_for_are_represented_by_a_sample(queries):
    """The oldest ones of a caller, that began at once, are close to each other in time."""
    simulation = Simulation(controllers(queries, 1)).run(1200.0)
    assert mean(simulation.ages(since=LEARNED)) < 6.7
    assert simulation.reads(LEARNED) <= 1.27


def test_all_phases_aligned_are_all_fresh_at_no_more_scrapes():
    """As after a restart of the controller: its work adds some time to each query alike."""
    simulation = Simulation(
        [Caller(query(f"app-{i}"), every(15.1, 7.0 + i * 0.02, random.Random(i), 0.05))
         for i in range(10)]
    ).run(1200.0)  # fmt: skip
    assert typical([simulation]) < 1.5
    assert simulation.reads(LEARNED) <= 1.05


def test_after_a_restart_of_the_controller_scrapes_follow_the_new_times():
    rng = random.Random(5)

    def times():
        yield from (3.0 + i * 15.1 for i in range(40))
        yield from every(15.0, 615.0 + 9.0, rng)

    simulation = Simulation([Caller(query(), times())]).run(1200.0)
    assert max(simulation.ages(since=700.0)) < 1.5
    assert simulation.reads() <= 1.05


def test_nobody_asks_so_the_schedule_is_the_plain_one():
    simulation = Simulation([]).run(300.0)
    assert simulation.scrapes["node"] == [i * PERIOD for i in range(21)]


def test_a_node_that_no_expected_query_reads_keeps_the_plain_schedule():
    rng = random.Random(2)
    callers = [Caller(query(), every(15.0, 8.0, rng))]
    simulation = Simulation(callers, nodes=("node", "other")).run(600.0)
    assert simulation.scrapes["other"] == [i * PERIOD for i in range(41)]
    assert simulation.scrapes["node"] != simulation.scrapes["other"]


def test_queries_that_stop_give_the_plain_schedule_back():
    simulation = Simulation([Caller(query(), (8.0 + i * 15.1 for i in range(20)))]).run(900.0)
    last = [at for at in simulation.scrapes["node"] if at > 500.0]
    assert last == [i * PERIOD for i in range(34, 61)]
    assert len(simulation.learner) == 0


def test_the_gap_between_scrapes_is_bounded():
    for simulation in (*simulated(3, 10), *simulated(10, 10), *simulated(3, 10, exact=False)):
        assert min(simulation.gaps()) >= SHORTEST - 1e-6
        assert max(simulation.gaps()) <= 1.2 * PERIOD + 1e-6


@pytest.mark.parametrize("interval", [5.0, 7.0, 10.0, 20.0, 30.0, 60.0, 90.0])
def test_other_intervals_are_followed_within_the_budget(interval):
    rng = random.Random(4)
    simulation = Simulation([Caller(query(), every(interval, 4.0, rng, 0.1))]).run(3600.0)
    plain = Simulation([Caller(query(), every(interval, 4.0, rng, 0.1))], prefetch=False)
    assert simulation.reads(LEARNED) <= 1.26
    assert median(simulation.ages(since=600.0)) < median(plain.run(3600.0).ages(since=600.0)) - 1
    if interval >= 30.0:
        assert max(simulation.ages(since=600.0)) < 1.0


def test_a_caller_that_asks_every_second_moves_nothing():
    simulation = Simulation([Caller(query(), (i * 1.0 for i in count()))]).run(600.0)
    assert simulation.scrapes["node"] == [i * PERIOD for i in range(41)]


def test_a_new_callers_queries_take_nothing_from_an_older_callers():
    rng = random.Random(9)
    alone = [Caller(query(), every(15.0, 6.0, rng))]
    age = median(Simulation(alone).run(1200.0).ages(since=LEARNED))
    hpa = Caller(query(), every(15.0, 6.0, rng))
    others = [
        Caller(query(f"x{i}", user="other"), every(15.0, 60.0 + rng.random() * 15, rng))
        for i in range(30)
    ]
    simulation = Simulation([hpa, *others]).run(1200.0)
    assert median(simulation.ages(hpa, since=LEARNED)) < age + 0.1
    assert max(simulation.ages(hpa, since=LEARNED)) < 1.5
    assert simulation.reads(LEARNED) <= 1.27
    assert median(simulation.ages(*others, since=LEARNED)) < 7.0


@pytest.mark.parametrize(
    ("seed", "shortest"),
    [(103, 7.0), *((seed, SHORTEST) for seed in range(24)),
     *((seed, shortest) for seed in range(8) for shortest in (1.0, 8.0, 12.0, PERIOD))],
)  # fmt: skip
def test_an_older_callers_queries_get_no_older_usage_whatever_others_ask(seed, shortest):
    """Also where they come less often than once a period, and budgets have to be saved for them.

    And where no scrape fits between two of a period: those before a query have to be in time.
    """
    rng = random.Random(seed)
    interval, exact = rng.choice([15.0, 30.0, 60.0]), rng.random() < 0.5
    phases = [rng.random() * interval for _ in range(rng.choice([1, 1, 2]))]
    others = [
        (rng.choice(INTERVALS), 100.0 + rng.random() * 60.0) for _ in range(rng.randint(1, 12))
    ]

    def age(*added):
        older = [
            Caller(query(f"a{i}", user="old"), every(interval, phase, random.Random(i)))
            for i, phase in enumerate(phases)
        ]
        newer = [
            Caller(query(f"b{i}", user=f"new{i % 4}"), every(*times, random.Random(i)))
            for i, times in enumerate(added)
        ]
        simulation = Simulation([*older, *newer], exact=exact, shortest=shortest).run(1800.0)
        return mean(simulation.ages(*older, since=500.0))

    assert age(*others) < age() + 0.6


def test_a_new_callers_query_may_come_just_before_an_older_callers():
    """Within --min-scrape-interval there is one scrape, and it is the older caller's."""
    hpa = Caller(query(), (6.0 + i * 15.1 for i in count()))
    other = Caller(query(user="other"), (64.0 + i * 15.1 for i in count()))
    simulation = Simulation([hpa, other]).run(1200.0)
    assert max(simulation.ages(hpa, since=LEARNED)) < 1.0


def test_more_rare_queries_than_a_node_can_be_scraped_for_are_all_followed():
    """Each comes once in 200 s: most of the oldest are not expected soon."""
    rng = random.Random(3)
    rare = [Caller(query(f"r{i}", user="old"), every(200.0, i * 6.0, rng)) for i in range(33)]
    hpa = Caller(query(), every(15.0, 200.0, rng))
    simulation = Simulation([*rare, hpa]).run(3600.0)
    assert median(simulation.ages(*rare, since=1200.0)) < 2.0
    assert median(simulation.ages(hpa, since=1200.0)) < 7.0
    assert simulation.reads(LEARNED) <= 1.27


def test_many_callers_with_queries_as_often_as_allowed_stay_within_the_budget():
    rng = random.Random(5)
    callers = [
        Caller(query(user=f"u{i}"), every(SHORTEST + 0.2, rng.random() * SHORTEST, rng, 0.6))
        for i in range(40)
    ]
    simulation = Simulation(callers).run(900.0)
    assert simulation.reads(LEARNED) <= 1.27
    assert min(simulation.gaps()) >= SHORTEST - 1e-6


def test_an_older_callers_rare_query_is_not_pushed_out():
    rng = random.Random(9)
    vpa = Caller(query(user="vpa"), every(60.0, 1.0, rng))
    hpas = [Caller(query(f"x{i}"), every(15.0, 2.0 + rng.random() * 15, rng)) for i in range(10)]
    simulation = Simulation([vpa, *hpas]).run(3600.0)
    assert median(simulation.ages(vpa, since=LEARNED)) < 1.0
    assert median(simulation.ages(*hpas, since=LEARNED)) < 6.0
    assert simulation.reads(LEARNED) <= 1.27


def halving(first):
    """Yield the times of a caller that asks twice as often after each dozen of queries."""
    at, interval = first, 240.0
    while True:
        for _ in range(12):
            yield at
            at += interval
        interval = interval / 2 if interval > 1.0 else 240.0


def test_callers_that_ask_ever_more_often_cost_an_older_one_nothing():
    hpa = Caller(query(), every(15.0, 6.0, random.Random(9)))
    others = [Caller(query(user=f"u{i % 5}", name=f"x{i}"), halving(20.0 + 7.3 * i))
              for i in range(20)]  # fmt: skip
    simulation = Simulation([hpa, *others]).run(6000.0)
    assert max(simulation.ages(hpa, since=LEARNED)) < 1.0
    assert simulation.reads(LEARNED) <= 1.27


@pytest.mark.parametrize("change", [0.007, -0.003])
def test_an_interval_that_drifts_is_followed(change):
    times = (20.0 + 15.0 * i + change / 2 * i * i for i in range(300))
    simulation = Simulation([Caller(query(), times)]).run(4000.0)
    assert max(simulation.ages(since=LEARNED)) < 1.0
    assert simulation.reads(LEARNED) <= 1.05


def test_two_callers_of_one_user_with_the_same_query_get_no_older_usage_than_without():
    """Their queries cannot be distinguished; gaps between them alternate."""
    callers = [Caller(query(), every(15.0, first, random.Random(9), 0.05)) for first in (6.0, 10.5)]
    simulation = Simulation(callers).run(1800.0)
    assert mean(simulation.ages(since=LEARNED)) < 7.5
    assert simulation.reads(LEARNED) <= 1.27


@pytest.mark.parametrize("queries", [1, 3, 10])
def test_after_ten_minutes_in_which_the_process_was_stopped_queries_are_followed_again(queries):
    """As on a machine that sleeps; all queries of that time come at once."""
    simulation = Simulation(controllers(queries, 7)).run(600.0)
    before = mean(simulation.ages(since=LEARNED))
    simulation.stop(600.0)
    simulation.run(1400.0)
    assert sum(at >= 1200.0 for at in simulation.scrapes["node"]) <= 200.0 / PERIOD * 1.25 + 3.7
    simulation.run(2000.0)
    assert mean(simulation.ages(since=1400.0)) < before + 0.5


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_callers_do_the_budget_holds(data):
    """Over any span of time a node is scraped at most 1.25 times a period, and one more."""
    rng = random.Random(data.draw(st.integers(0, 10**6)))
    callers = []
    for number in range(data.draw(st.integers(1, 12))):
        interval = data.draw(st.floats(0.5, 100.0))
        spread = data.draw(st.sampled_from([0.0, 0.3, 3.0]))
        first = data.draw(st.floats(0.0, 100.0))
        last = data.draw(st.integers(1, 40))
        times = (
            at for at, _ in zip(every(interval, first, rng, spread), range(last), strict=False)
        )
        callers.append(Caller(query(f"q{number}", user=f"u{number % 3}"), times))
    exact = data.draw(st.booleans())
    simulation = Simulation(callers, exact=exact).run(600.0)
    scrapes = simulation.scrapes["node"]
    budget = 1.25 if exact else 1.0
    for index, first in enumerate(scrapes):
        for number, later in enumerate(scrapes[index:]):
            # 3.0 saved at most, and the first scrape; a return to the schedule may be early.
            assert number <= (later - first) / PERIOD * budget + 3.7


@pytest.mark.parametrize(
    ("period", "shortest"),
    [(1.0, 1.0), (5.0, 1.0), (5.0, 5.0), (10.0, 5.0), (15.0, 1.0), (15.0, 15.0), (60.0, 1.0),
     (60.0, 60.0)],
)  # fmt: skip
@pytest.mark.parametrize("queries", [1, 7])
def test_with_any_period_the_budget_holds_and_usage_is_no_older(period, shortest, queries):
    """Where no scrape fits between two of a period, only one phase of a node can be fresh."""
    until = LEARNED + 40 * period
    plain, simulation = (
        simulated(queries, 3, until=until, period=period, shortest=shortest, prefetch=prefetch)
        for prefetch in (False, True)
    )
    for each in simulation:
        assert each.reads(LEARNED) <= 1.25 + 3.7 / 40
        assert min(each.gaps()) >= shortest - 1e-6
        assert max(each.gaps()) <= 1.2 * period + 1e-6
    if queries == 1 or 2 * shortest < period:
        assert typical(simulation) <= typical(plain)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("shortest", [1.0, 5.0, 10.0, PERIOD])
@pytest.mark.parametrize("interval", [15.0, 30.0, 45.0, 60.0, 200.0])
def test_whatever_the_least_gap_usage_is_fresh_for_a_query(interval, shortest, exact):
    """The next query may come a little less than some gaps after the scrape for the last one."""
    rng = random.Random(7)
    callers = [Caller(query(), every(interval, 8.0, rng))]
    simulation = Simulation(callers, shortest=shortest, exact=exact).run(20 * interval + LEARNED)
    ages = simulation.ages(since=8 * interval)
    assert mean(ages) < 0.7
    assert max(ages) < 2.0


def test_random_selectors_at_regular_times_cost_nothing():
    number = count()

    def queries(simulation):
        for at in range(1, 600):
            known = simulation.learner.observe(query(f"random-{next(number)}"), float(at))
            assert not known.rhythm.regular

    simulation = Simulation([])
    queries(simulation)
    simulation.run(600.0)
    assert simulation.scrapes["node"] == [i * PERIOD for i in range(41)]


def test_hundreds_of_hpas_are_created_and_deleted_and_the_budget_holds():
    rng = random.Random(8)
    simulation = Simulation([])
    for number in range(300):
        times = (at for at, _ in zip(every(15.0, number * 5.0, rng), range(20), strict=False))
        simulation.add(Caller(query(f"app-{number}"), times))
    simulation.run(1500.0)
    assert simulation.reads() <= 1.27
    assert median(simulation.ages(since=LEARNED)) < 7.0
    simulation.run(2600.0)
    assert len(simulation.learner) == 0
    assert simulation.gaps()[-20:] == [PERIOD] * 20


def test_a_slow_kubelet_is_asked_earlier():
    rng = random.Random(8)
    simulation = Simulation([Caller(query(), every(15.0, 8.0, rng))], answer=2.0).run(900.0)
    assert 1.0 < median(simulation.ages(since=LEARNED)) < 1.8


@pytest.mark.parametrize("queries", [1, 10])
@pytest.mark.parametrize("answer", [3.1, 4.0, 9.0, 14.0])
def test_a_kubelet_too_slow_for_any_lead_is_scraped_on_the_schedule(answer, queries):
    """Scraped three seconds before a query, its usage would be a period older at that query."""
    simulation = Simulation(controllers(queries, 8), answer=answer).run(900.0)
    assert simulation.scrapes["node"] == [i * PERIOD for i in range(61)]


def test_a_kubelet_that_hangs_is_asked_no_more_often():
    simulation = Simulation([Caller(query(), (8.0 + i * 15.1 for i in count()))], answer=60.0)
    assert simulation.run(900.0).reads(LEARNED) <= 1.0


def test_a_scrape_is_made_as_soon_as_it_is_wanted_and_again_when_there_is_a_rate():
    wanted = [104.0, 109.0]
    simulation = Simulation([], wanted=lambda _node, _last: [at for at in wanted if at <= 200])
    simulation.call_at(104.0, simulation.plan, "node")
    simulation.run(200.0)
    assert [at for at in simulation.scrapes["node"] if 100 < at < 115] == [104.0, 109.0]


def always_wanted(*callers, exact):
    """Return a simulation in which pods start all the time."""
    now = [0.0]
    simulation = Simulation(callers, exact=exact, wanted=lambda _node, _last: [now[0]])
    tick(simulation, now)
    return simulation


def tick(simulation, now):
    now[0] = simulation.now + 1.0
    simulation.call_at(simulation.now + 1.0, tick, simulation, now)


def test_a_node_with_nothing_new_between_its_own_readings_is_scraped_no_more_than_once_a_period():
    simulation = always_wanted(exact=False).run(1500.0)
    assert simulation.reads(LEARNED) <= 1.02


def test_there_a_wanted_scrape_takes_nothing_from_an_expected_query():
    hpa = Caller(query(), (8.0 + i * 15.1 for i in count()))
    simulation = always_wanted(hpa, exact=False).run(1500.0)
    assert max(simulation.ages(since=LEARNED)) < 1.0
    assert simulation.reads(LEARNED) <= 1.02


def test_wanted_scrapes_cost_the_queries_nothing_of_their_budget():
    hpa = Caller(query(), (8.0 + i * 15.1 for i in count()))
    wanted = [600.0, 605.0, 610.0, 615.0]
    simulation = Simulation([hpa], wanted=lambda _node, last: [at for at in wanted if at > last])
    for at in (600.0, 605.1, 610.1):
        simulation.call_at(at, simulation.plan, "node")
    simulation.run(900.0)
    assert len([at for at in simulation.scrapes["node"] if 600.0 <= at <= 620.0]) >= 4
    assert max(simulation.ages(since=635.0)) < 1.0
    assert simulation.reads(635.0) <= 1.02
