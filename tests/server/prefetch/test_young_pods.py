"""Pods that start are a reason to scrape their nodes: soon, together, and not too often."""

import heapq
import itertools
import random
import tracemalloc

import pytest

from metricsapi.kube.resources import Pod
from metricsapi.server.prefetch.young_pods import (
    BURST,
    PER_PERIOD,
    UNLISTED,
    YOUNG,
    YoungPods,
)
from metricsapi.storage.types import ContainerStats, CpuStats, NodeSample, PodRef, PodStats

INTERVAL, PERIOD = 5.0, 15.0
ANSWERED = 0.1  # seconds that a kubelet takes to answer


def pod(name="p", node="n", *, ready=False, uid="u", **more):
    return Pod("ns", name, {}, uid, node=node, ready=ready, **more)


def listed(name="p", uid="u", *, cpu=True):
    container = ContainerStats("c", cpu=CpuStats("t", None, 1) if cpu else None)
    return PodStats(PodRef(name, "ns", uid), [container])


def sample(at, *pods, node="n"):
    return NodeSample(node, at, at + ANSWERED, None, list(pods))


@pytest.fixture
def young():
    return YoungPods(min_interval=INTERVAL, period=PERIOD)


def test_a_new_pods_node_is_wanted_at_once_and_again_when_there_can_be_a_rate(young):
    assert young.wanted("n") == ()
    assert young.pod_changed(None, pod(), 100.0) == "n"
    assert young.wanted("n") == [100.0]
    assert young.scraped(sample(100.2, listed()))
    assert young.wanted("n") == [105.2]
    assert young.scraped(sample(105.2, listed()))
    assert young.wanted("n") == ()
    assert young.wanted("other") == ()


def test_an_answer_that_does_not_list_the_pod_yet_is_followed_by_others_but_not_without_end(young):
    young.pod_changed(None, pod(), 100.0)
    at = 100.0
    for _ in range(UNLISTED):
        assert young.wanted("n")
        young.scraped(sample(at, listed("other")))
        at += INTERVAL
    assert young.wanted("n") == ()


@pytest.mark.parametrize(
    "answer", [listed(uid="older"), listed(cpu=False), PodStats(PodRef("p", "ns", "u"), [])]
)
def test_what_gives_no_reading_of_the_pod_is_no_reading(young, answer):
    young.pod_changed(None, pod(), 100.0)
    young.scraped(sample(100.0, answer))
    assert young.wanted("n") == [105.0]
    young.scraped(sample(105.0, listed()))
    assert young.wanted("n") == [110.0], "this was the first one"


@pytest.mark.parametrize("uid", ["", "u", "static"])
def test_a_pod_is_known_by_its_uid_its_static_uid_or_without_one(young, uid):
    young.pod_changed(None, pod(static_uid="static"), 100.0)
    for at in (100.0, 105.0):
        young.scraped(sample(at, listed(uid=uid)))
    assert young.wanted("n") == ()


def test_an_answer_on_its_way_when_the_pod_was_seen_counts_if_it_lists_the_pod(young):
    young.pod_changed(None, pod(), 100.0)
    young.scraped(sample(99.9, listed()))
    assert young.wanted("n") == [104.9]


def test_a_scrape_that_is_in_flight_is_not_followed_by_another_one_at_once(young):
    young.pod_changed(None, pod(), 100.0)
    assert young.wanted("n", 99.0) == [104.0]


def test_once_ready_a_second_is_waited_for_so_that_the_window_lies_after_it(young):
    waiting = pod()
    young.pod_changed(None, waiting, 100.0)
    for at in (100.0, 105.0):
        young.scraped(sample(at, listed()))
    assert young.pod_changed(waiting, pod(ready=True), 112.0) == "n"
    assert young.wanted("n") == [113.0]
    young.scraped(sample(113.0, listed()))
    assert young.wanted("n") == ()


def test_a_scrape_before_that_second_is_over_does_not_count(young):
    young.pod_changed(None, pod(), 90.0)
    for at in (90.0, 95.0):
        young.scraped(sample(at, listed()))
    young.pod_changed(pod(), pod(ready=True), 112.0)
    young.scraped(sample(112.5, listed()))
    assert young.wanted("n") == [117.5]


def test_a_pod_that_is_ready_when_it_is_seen_to_run_costs_two_scrapes(young):
    young.pod_changed(None, pod(ready=True), 100.0)
    assert young.wanted("n") == [101.0]
    young.scraped(sample(101.0, listed()))
    assert young.wanted("n") == [106.0]
    young.scraped(sample(106.0, listed()))
    assert young.wanted("n") == ()


def test_a_pod_that_is_ready_no_more_is_not_waited_for(young):
    young.pod_changed(None, pod(), 100.0)
    for at in (100.0, 105.0):
        young.scraped(sample(at, listed()))
    young.pod_changed(pod(), pod(ready=True), 111.0)
    young.pod_changed(pod(ready=True), pod(), 111.5)
    assert young.wanted("n") == ()


def test_a_pod_of_which_nobody_asks_since_when_it_is_ready_costs_nothing(young):
    young.pod_changed(None, pod(), 100.0)
    for at in (100.0, 105.0):
        young.scraped(sample(at, listed()))
    young.pod_changed(pod(), pod(ready=True), 101.0 + YOUNG)
    assert young.wanted("n") == ()
    young.pod_changed(pod("old"), pod("old", ready=True), 100.0)
    assert young.wanted("n") == ()


def test_other_changes_of_a_pod_are_no_start(young):
    young.pod_changed(None, pod(ready=True), 100.0)
    for at in (101.0, 106.0):
        young.scraped(sample(at, listed()))
    young.pod_changed(pod(ready=True), Pod("ns", "p", {"new": "label"}, "u", "", "n", True), 120.0)
    assert young.wanted("n") == ()


def test_a_pod_that_ends_is_not_waited_for(young):
    young.pod_changed(None, pod(), 100.0)
    assert young.pod_changed(pod(), None, 101.0) == ""
    assert young.wanted("n") == ()


def test_a_pod_of_the_same_name_is_another_start_and_may_be_on_another_node(young):
    young.pod_changed(None, pod(), 100.0)
    assert young.pod_changed(pod(), pod(uid="u2", node="m"), 103.0) == "m"
    assert young.wanted("n") == ()
    assert young.wanted("m") == [103.0]


def test_a_node_that_is_gone_is_wanted_no_more(young):
    young.pod_changed(None, pod(), 100.0)
    young.forget("n")
    assert young.wanted("n") == ()
    assert not young.scraped(sample(101.0, listed()))


def test_without_a_node_the_first_answer_that_lists_the_pod_tells_it(young):
    assert young.pod_changed(None, pod(node=""), 100.0) == ""
    assert not young.scraped(sample(103.0, listed("other")))
    assert young.scraped(sample(107.0, listed(), node="m"))
    assert young.wanted("m") == [112.0]
    assert young.scraped(sample(112.0, listed(), node="m"))
    assert young.wanted("m") == ()
    young.pod_changed(pod(node=""), None, 120.0)


def test_a_pod_without_a_node_that_ends_leaves_nothing(young):
    young.pod_changed(None, pod(node=""), 100.0)
    young.scraped(sample(101.0, listed(), node="m"))
    young.pod_changed(pod(node=""), None, 102.0)
    assert young.wanted("m") == ()
    young.pod_changed(None, pod(node=""), 103.0)
    young.pod_changed(pod(node=""), None, 104.0)
    assert not young.scraped(sample(105.0, listed(), node="k"))


def test_a_node_that_is_known_after_the_answer_that_listed_the_pod_changes_nothing(young):
    young.pod_changed(None, pod(node=""), 100.0)
    young.scraped(sample(103.0, listed()))
    assert young.pod_changed(pod(node=""), pod(), 104.0) == "n"
    assert young.wanted("n") == [108.0]


def test_a_node_that_is_known_before_any_answer_is_wanted_at_once(young):
    young.pod_changed(None, pod(node=""), 100.0)
    assert young.pod_changed(pod(node=""), pod(), 101.0) == "n"
    assert young.wanted("n") == [100.0]
    young.scraped(sample(101.1, listed()))
    assert young.wanted("n") == [106.1]


class Simulation:
    """Nodes scraped as `wanted` says and once a period; `scrapes` are their times, by node.

    A pod is listed `known_after` seconds after it began to run.
    """

    def __init__(self, *, known_after=lambda: 0.0):
        self.young = YoungPods(min_interval=INTERVAL, period=PERIOD)
        self.known_after = known_after
        self.scrapes = {}
        self.readings = {}  # times of the requests that listed a pod, by pod
        self.running = {}  # node: {name: since when it is listed}
        self._events = []  # (time, number, function)
        self._count = 0

    def at(self, time, function, *arguments):
        self._count += 1
        heapq.heappush(self._events, (time, self._count, function, arguments))

    def start(self, time, node, name, *, ready_after=None):
        def begin():
            self.running.setdefault(node, {})[name] = time + self.known_after()
            self.young.pod_changed(None, pod(name, node, ready=ready_after == 0.0), time)

        self.at(time, begin)
        if ready_after:
            change = (pod(name, node), pod(name, node, ready=True), time + ready_after)
            self.at(time + ready_after, self.young.pod_changed, *change)

    def flap(self, time, node, name, *, ready):
        change = (pod(name, node, ready=not ready), pod(name, node, ready=ready), time)
        self.at(time, self.young.pod_changed, *change)

    def run(self, nodes, until):
        for number, node in enumerate(nodes):
            self.scrapes[node] = [number / len(nodes) * PERIOD - PERIOD]
        now = 0.0
        while now < until:
            while self._events and self._events[0][0] <= now:
                _, _, function, arguments = heapq.heappop(self._events)
                function(*arguments)
            for node in nodes:
                last = self.scrapes[node][-1]
                wanted = self.young.wanted(node, last)
                if now >= min([last + PERIOD, *wanted[:1]]):
                    self._scrape(node, now)
            now += 0.1

    def _scrape(self, node, now):
        self.scrapes[node].append(now)
        running = self.running.get(node, {})
        names = [name for name, since in running.items() if since <= now]
        for name in names:
            self.readings.setdefault(name, []).append(now)
        self.young.scraped(sample(now, *map(listed, names), node=node))

    def most_in(self, seconds):
        """The most scrapes of a node within so many seconds."""
        return max(
            sum(begin <= other < begin + seconds for other in times)
            for times in self.scrapes.values()
            for begin in times
        )


def first_usages(simulation, starts):
    """Seconds from the start to the answer with a second reading, sorted."""
    return sorted(simulation.readings[name][1] + ANSWERED - at for name, at in starts.items())


@pytest.mark.parametrize("ready_after", [0.0, 3.0, None])
def test_first_usage_comes_within_seven_seconds_and_twelve_at_worst(ready_after):
    rng, simulation, starts = random.Random(7), Simulation(), {}
    nodes = [f"n{number}" for number in range(60)]
    for number, node in enumerate(nodes):
        at = starts[f"p{number}"] = rng.uniform(20.0, 100.0)
        simulation.start(at, node, f"p{number}", ready_after=ready_after)
    simulation.run(nodes, 130.0)
    usages = first_usages(simulation, starts)
    assert usages[len(usages) // 2] < 7.0
    assert usages[-1] < 12.0


def test_a_kubelet_that_knows_a_container_only_after_ten_seconds_costs_a_few_scrapes():
    rng = random.Random(7)
    simulation, starts = Simulation(known_after=lambda: rng.uniform(0.0, 10.0)), {}
    nodes = [f"n{number}" for number in range(60)]
    for number, node in enumerate(nodes):
        at = starts[f"p{number}"] = rng.uniform(20.0, 100.0)
        simulation.start(at, node, f"p{number}", ready_after=3.0)
    simulation.run(nodes, 140.0)
    usages = first_usages(simulation, starts)
    assert usages[len(usages) // 2] < 15.0
    assert usages[-1] < 21.0
    assert simulation.most_in(PERIOD) <= 4


def test_pods_that_start_together_cost_their_node_what_one_costs():
    alone, together = Simulation(), Simulation()
    alone.start(20.0, "n", "p", ready_after=8.0)
    for number in range(500):
        together.start(20.0 + number % 7 / 10, "n", f"p{number}", ready_after=8.0)
    for simulation in (alone, together):
        simulation.run(["n"], 60.0)
    assert len(together.scrapes["n"]) <= len(alone.scrapes["n"]) + 1
    assert all(len(times) >= 2 for times in together.readings.values())


def test_a_hundred_starts_a_second_cost_a_bounded_number_of_scrapes():
    rng, simulation, starts = random.Random(7), Simulation(), {}
    nodes = [f"n{number}" for number in range(50)]
    for number in range(6000):
        at = starts[f"p{number}"] = 20.0 + number / 100
        simulation.start(at, rng.choice(nodes), f"p{number}", ready_after=rng.uniform(0.0, 20.0))
    simulation.run(nodes, 110.0)
    for times in simulation.scrapes.values():
        during = [at for at in times if 20.0 <= at < 80.0]
        assert len(during) <= PER_PERIOD * 60.0 / PERIOD + BURST
        gaps = [later - at for at, later in itertools.pairwise(times)]
        assert min(gaps[1:]) > INTERVAL - 0.2
    usages = first_usages(simulation, starts)
    assert usages[len(usages) // 2] < 16.0, "no later than without"


def test_a_pod_whose_readiness_comes_and_goes_costs_a_bounded_number_of_scrapes():
    simulation = Simulation()
    simulation.start(20.0, "n", "p")
    for number in range(400):
        simulation.flap(25.0 + number * 1.5, "n", "p", ready=number % 2 == 0)
    simulation.run(["n"], 640.0)
    young = [at for at in simulation.scrapes["n"] if 20.0 <= at < 20.0 + YOUNG]
    assert len(young) <= PER_PERIOD * YOUNG / PERIOD + BURST
    later = [at for at in simulation.scrapes["n"] if at >= 20.0 + YOUNG + PERIOD]
    assert len(later) <= (640.0 - 20.0 - YOUNG) / PERIOD + 1


def test_what_has_started_is_forgotten_when_it_is_no_longer_young(young):
    for number in range(1000):
        young.pod_changed(None, pod(f"p{number}", node=""), 100.0 + number)
    assert young.pod_changed(None, pod("last", node=""), 100.0 + 10_000.0) == ""
    assert not young.scraped(sample(10_100.0, *(listed(f"p{number}") for number in range(1000))))


def test_nodes_that_nobody_scrapes_leave_nothing():
    young = YoungPods(min_interval=INTERVAL, period=PERIOD)
    tracemalloc.start()
    for number in range(20_000):
        young.pod_changed(None, pod(f"p{number}", f"n{number}"), 100.0 + number)
    young.pod_changed(None, pod("last", "n"), 1e6)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 1_000_000
