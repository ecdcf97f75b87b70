"""A planner says when nodes are scraped; what it says wrong costs no node its scrapes."""

import asyncio
import itertools
import logging
import math
from collections import defaultdict
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricsapi.scrape.errors import Cause, Failure
from metricsapi.scrape.parts import Periodic, Plan, Reason
from metricsapi.scrape.schedule import Schedule
from metricsapi.storage.types import NodeSample
from tests.scrape.test_scraper import Client, Nodes, many, running
from tests.scrape.test_sharing import Shared
from tests.support.kubelet import node
from tests.support.simulated_time import run_simulated

RESOLUTION = 15.0
TIMEOUT = Failure(Cause.TIMEOUT, "late")


def now():
    return asyncio.get_running_loop().time()


class Kubelets(Client):
    """Scrapes take `seconds` and end in `result`; kept are the times at which they begin."""

    def __init__(self, seconds=0.1, result=None):
        super().__init__()
        self.seconds = seconds
        self.result = result
        self.begun = defaultdict(list)
        self.active = defaultdict(int)
        self.most_of_a_node = 0

    async def answer(self, target):
        name = target.node
        self.begun[name].append(now())
        self.active[name] += 1
        self.most_of_a_node = max(self.most_of_a_node, self.active[name])
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.active[name] -= 1
        return self.result or NodeSample(name, now(), now(), None, [])


class Wants:
    """A planner that wants a node scraped at `at`, and once that is past, on the schedule."""

    def __init__(self, at=None, reason=Reason.PREFETCH):
        self.at = at
        self.reason = reason
        self.asked = []

    def next_scrape(self, node, last, periodic):
        self.asked.append((node, last, periodic))
        if self.at is None or self.at <= last:
            return Plan(periodic, Reason.PERIODIC)
        return Plan(self.at, self.reason)


@asynccontextmanager
async def scraping(nodes, client, planner, **options):
    options = {"resolution": RESOLUTION, "timeout": 10.0, "concurrency": 100, **options}
    async with running(nodes, client, planner=planner, **options) as pool:
        yield pool


async def next_moment():
    """Wait until a little after the moment of the group, and return that moment."""
    moment = math.floor(now() / RESOLUTION + 1) * RESOLUTION
    await asyncio.sleep(moment + 1.0 - now())
    return moment


def test_a_planned_scrape_takes_the_place_of_the_periodic_one_and_the_node_returns_to_its_group():
    async def main():
        client, planner = Kubelets(), Wants()
        async with scraping(Nodes(node("n0")), client, planner) as pool:
            moment = await next_moment()
            client.begun.clear()
            planner.at = moment + 12.0
            pool.replan("n0")
            await asyncio.sleep(3 * RESOLUTION)
            assert client.begun["n0"] == pytest.approx([moment + 12, moment + 30, moment + 45])
            assert pool.scrapes == {"start": 1, "periodic": 3, "prefetch": 1}

    run_simulated(main())


def test_a_scrape_may_be_planned_after_its_moment():
    async def main():
        client, planner = Kubelets(), Wants()
        async with scraping(Nodes(node("n0")), client, planner) as pool:
            moment = await next_moment()
            client.begun.clear()
            planner.at = moment + 17.0
            pool.replan("n0")
            await asyncio.sleep(2 * RESOLUTION)
            assert client.begun["n0"] == pytest.approx([moment + 17, moment + 30])

    run_simulated(main())


def test_the_last_word_of_a_planner_counts():
    async def main():
        client, planner = Kubelets(), Wants()
        async with scraping(Nodes(node("n0")), client, planner) as pool:
            moment = await next_moment()
            client.begun.clear()
            for at in (moment + 8.0, moment + 3.0, moment + 10.0):
                planner.at = at
                pool.replan("n0")
            await asyncio.sleep(13.0)
            assert client.begun["n0"] == pytest.approx([moment + 10])
            planner.at = None
            pool.replan("n0")
            await asyncio.sleep(RESOLUTION)
            assert client.begun["n0"] == pytest.approx([moment + 10, moment + 15])

    run_simulated(main())


def test_a_time_that_is_past_means_now():
    async def main():
        client, planner = Kubelets(), Wants()
        async with scraping(Nodes(node("n0")), client, planner) as pool:
            moment = await next_moment()
            await asyncio.sleep(6.0)
            client.begun.clear()
            planner.at, planner.reason = moment + 3.0, Reason.START
            pool.replan("n0")
            await asyncio.sleep(1.0)
            assert client.begun["n0"] == pytest.approx([moment + 7.0])
            assert pool.scrapes["start"] == 2

    run_simulated(main())


def test_a_planner_knows_when_the_last_scrape_was_due_and_the_next_moment_of_the_group():
    async def main():
        planner = Wants()
        async with scraping(Nodes(node("n0")), Kubelets(), planner) as pool:
            moment = await next_moment()
            planner.asked.clear()
            pool.replan("n0")
            pool.replan("unknown")
            assert planner.asked == [("n0", pytest.approx(moment), pytest.approx(moment + 15))]

    run_simulated(main())


def test_a_scrape_for_a_query_that_meets_one_in_flight_is_not_needed():
    """A periodic one is counted as skipped, as an operator may want to know of it."""

    async def main():
        client, planner = Kubelets(seconds=25.0), Wants()
        async with scraping(Nodes(node("n0")), client, planner, timeout=60.0) as pool:
            begun = now()
            for after in (2.0, 4.0, 6.0):
                planner.at = begun + after
                pool.replan("n0")
                await asyncio.sleep(2.0)
            assert len(client.begun["n0"]) == 1
            assert pool.skipped == pool.scrapes["prefetch"] == 0
            await asyncio.sleep(RESOLUTION)
            assert pool.skipped == 1
            client.seconds = 0.1
            await asyncio.sleep(RESOLUTION)
            assert len(client.begun["n0"]) == 2

    run_simulated(main())


def test_nodes_that_fail_keep_their_periodic_scrapes():
    async def main():
        client, planner = Kubelets(), Wants()
        async with scraping(Nodes(node("n0")), client, planner) as pool:
            moment = await next_moment()
            client.result, planner.at = TIMEOUT, moment + 10.0
            pool.replan("n0")
            await asyncio.sleep(10.0)
            assert pool.states["n0"].failure
            planner.asked.clear()
            client.begun.clear()
            for after in range(12, 58):
                planner.at = moment + after + 0.5
                pool.replan("n0")
                await asyncio.sleep(1.0)
            assert client.begun["n0"] == pytest.approx([moment + 15 * i for i in (1, 2, 3)])
            assert planner.asked == []
            client.result = None
            planner.at = moment + 64.0
            await asyncio.sleep(10.0)
            assert client.begun["n0"][3:] == pytest.approx([moment + 60, moment + 64])

    run_simulated(main())


def test_while_another_replica_scrapes_nothing_is_planned_and_afterwards_from_its_last_scrape():
    async def main():
        shared, client, planner = Shared(), Kubelets(), Wants()
        async with scraping(Nodes(node("n0")), client, planner, sharing=shared) as pool:
            moment = await next_moment()
            planner.at = moment + 10.0
            answered = now()
            assert pool.accept("n0", NodeSample("n0", answered, answered, None, []), answered)
            pool.replan("n0")
            await asyncio.sleep(2.0)
            assert planner.asked == []
            shared.other = False
            pool.scrape_late()
            await asyncio.sleep(10.0)
            assert planner.asked[0] == ("n0", answered, pytest.approx(moment + 15))
            assert client.begun["n0"] == pytest.approx([moment + 10])

    run_simulated(main())


def test_a_planner_that_fails_leaves_the_schedule_as_it_is(caplog):
    class Broken:
        def next_scrape(self, node, *_):
            raise ValueError(node)

    async def main():
        client = Kubelets()
        async with scraping(Nodes(node("n0")), client, Broken()):
            moment = await next_moment()
            await asyncio.sleep(2 * RESOLUTION)
            assert client.begun["n0"][1:] == pytest.approx([moment, moment + 15, moment + 30])

    with caplog.at_level(logging.CRITICAL, "metricsapi.scrape"):
        run_simulated(main())


def test_nothing_more_is_planned_for_a_node_that_is_gone():
    async def main():
        client, planner, nodes = Kubelets(), Wants(), Nodes(*many(2))
        async with scraping(nodes, client, planner) as pool:
            moment = await next_moment()
            planner.at = moment + 10.0
            pool.replan("n0")
            nodes.delete("n0")
            client.begun.clear()
            await asyncio.sleep(RESOLUTION)
            assert client.begun.keys() == {"n1"}
            nodes.put(node("n0"))
            await asyncio.sleep(0.1)
            assert len(client.begun["n0"]) == 1

    run_simulated(main())


times = st.one_of(
    st.floats(-2.0, 5.0),  # periods from the last scrape
    st.sampled_from([math.nan, math.inf, -math.inf, 1e300, 0.0]),
)
whims = st.lists(st.one_of(st.none(), st.tuples(times, st.sampled_from(Reason))), min_size=1)


class Whimsical:
    """A planner that says anything; None: it fails."""

    def __init__(self, whims):
        self.whims = itertools.cycle(whims)

    def next_scrape(self, _node, last, _periodic):
        if (whim := next(self.whims)) is None:
            raise ValueError("no plan")
        return Plan(last + whim[0] * RESOLUTION, whim[1])


@settings(deadline=None, max_examples=60)
@given(
    whims,
    st.lists(st.floats(0.0, 0.5), min_size=1),  # periods that scrapes take
    st.lists(st.floats(0.0, 1.0), min_size=1),  # periods from one call of `replan` to the next
)
def test_whatever_a_planner_says_each_node_is_scraped_in_two_periods_and_never_twice_at_once(
    whims, durations, waits
):
    async def main():
        client = Kubelets()
        takes = itertools.cycle(durations)
        async with scraping(Nodes(*many(3)), client, Whimsical(whims)) as pool:
            end = now() + 20 * RESOLUTION
            for wait in itertools.cycle(waits):
                client.seconds = next(takes) * RESOLUTION
                pool.replan("n1")
                await asyncio.sleep(wait * RESOLUTION + 0.5)
                if now() > end:
                    break
            assert client.most_of_a_node == 1
            for begun in client.begun.values():
                gaps = [later - earlier for earlier, later in itertools.pairwise([*begun, now()])]
                assert max(gaps) <= 2 * RESOLUTION
                assert min(gaps[:-1]) > 0.999

    logging.disable(logging.ERROR)
    try:
        run_simulated(main())
    finally:
        logging.disable(logging.NOTSET)


def test_at_a_start_each_node_is_scraped_once_before_any_is_scraped_again():
    """Also where that takes more than a period."""

    async def main():
        kubelets = Kubelets(seconds=0.1)
        async with scraping(Nodes(*many(400)), kubelets, Periodic(), concurrency=1):
            await asyncio.sleep(3 * RESOLUTION)
        return kubelets.begun

    begun = run_simulated(main()).values()
    last_first = max(times[0] for times in begun)
    assert last_first > 1000.0 + 2 * RESOLUTION
    assert all(times[1] > last_first for times in begun if len(times) > 1)


def test_without_a_planner_every_scrape_is_periodic():
    assert Periodic().next_scrape("n0", 3.0, 15.0) == Plan(15.0, Reason.PERIODIC)


def test_an_item_is_due_once_at_the_time_that_it_was_planned_for_last():
    async def main():
        due = []
        schedule = Schedule(lambda item: due.append((item, now())))
        start = now()
        for after in (5.0, 1.0, 3.0):
            schedule.plan(start + after, "a")
        schedule.plan(start + 2.0, "b")
        schedule.plan(start + 2.0, "c")
        schedule.cancel("c")
        await asyncio.sleep(10.0)
        assert due == [("b", pytest.approx(start + 2.0)), ("a", pytest.approx(start + 3.0))]
        assert len(schedule) == 0
        schedule.clear()

    run_simulated(main())


def test_an_item_that_another_one_moved_when_both_were_due_waits_for_its_new_time():
    async def main():
        due = []

        def on_due(item):
            due.append((item, now()))
            if item == "a":
                schedule.plan(start + 5.0, "b")

        schedule = Schedule(on_due)
        start = now()
        schedule.plan(start + 1.0, "a")
        schedule.plan(start + 1.0, "b")
        await asyncio.sleep(10.0)
        assert due == [("a", pytest.approx(start + 1.0)), ("b", pytest.approx(start + 5.0))]

    run_simulated(main())


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.0, 100.0)), max_size=300))
def test_a_schedule_is_never_much_larger_than_its_items(plans):
    async def main():
        schedule, items = Schedule(print), set()
        for item, after in plans:
            schedule.plan(now() + 1.0 + after, item)
            items.add(item)
            assert len(schedule) <= 2 * len(items)
        schedule.clear()

    run_simulated(main())
