"""Results of other replicas' scrapes are taken as if they were our own, in the order of time."""

import asyncio
import time

from metricsapi.scrape.errors import Cause, Failure
from metricsapi.storage.types import NodeSample
from tests.scrape.test_scraper import Client, Nodes, Store, many, running
from tests.support.conditions import until

LATE = Failure(Cause.TIMEOUT, "late")


class Shared:
    """What other replicas do: they scrape while `other` is set."""

    def __init__(self):
        self.other = True
        self.kept = {}

    def may_scrape(self):
        return not self.other

    def publish(self, node, result, ended_at):
        self.kept[node] = (result, ended_at)

    def forget(self, node):
        self.kept.pop(node, None)


def sample(name, answered_at):
    return NodeSample(name, answered_at - 0.01, answered_at, None, [])


async def test_results_that_are_no_newer_change_nothing():
    store, now = Store(), time.monotonic()
    async with running(Nodes(*many(1)), Client(), store, sharing=Shared(), resolution=60.0) as pool:
        newest = sample("n0", now - 1.0)
        assert pool.accept("n0", newest, now - 1.0)
        for older in (now - 20.0, now - 1.0):
            assert not pool.accept("n0", sample("n0", older), older)
            assert not pool.accept("n0", LATE, older)
        assert store.samples == {"n0": newest}
        assert pool.states["n0"].failure is None
        assert pool.accept("n0", LATE, now - 0.5)
        assert pool.states["n0"].failure == LATE


async def test_our_own_scrape_that_was_overtaken_changes_nothing():
    shared, client, store = Shared(), Client(), Store()
    shared.other = False
    taken, answered = asyncio.Event(), []

    async def answer(target):
        answered.append(sample(target.node, time.monotonic()))
        await taken.wait()
        return answered[-1]

    client.answer = answer
    options = {"sharing": shared, "resolution": 60.0, "timeout": 60.0}
    async with running(Nodes(*many(1)), client, store, **options) as pool:
        await until(lambda: answered, what="our own scrape is under way")
        newer = sample("n0", time.monotonic())
        assert pool.accept("n0", newer, newer.answered_at)
        taken.set()
        await until(lambda: client.running == 0 and pool.states["n0"].limit is None)
        assert store.samples == {"n0": newer}
        assert shared.kept == {}


async def test_an_old_failure_does_not_outlive_our_own_success():
    shared, begun = Shared(), time.monotonic()
    shared.other = False
    async with running(Nodes(*many(1)), Client(), sharing=shared, resolution=60.0) as pool:
        await until(lambda: pool.states["n0"].tried, what="our own scrape")
        assert not pool.accept("n0", LATE, begun - 15.0)
        assert pool.states["n0"].failure is None


async def test_a_result_from_the_future_does_not_shut_out_those_that_follow():
    async with running(Nodes(*many(1)), Client(), sharing=Shared(), resolution=60.0) as pool:
        now = time.monotonic()
        assert pool.accept("n0", sample("n0", now + 3600.0), now + 3600.0)
        assert pool.accept("n0", LATE, time.monotonic())


async def test_results_of_nodes_that_are_not_scraped_are_not_taken():
    store = Store()
    async with running(Nodes(), Client(), store, sharing=Shared()) as pool:
        assert not pool.accept("n9", sample("n9", 1.0), 1.0)
        assert not pool.accept("n9", LATE, 1.0)
        assert store.samples == {}


async def test_nothing_is_kept_of_a_node_that_is_scraped_no_longer():
    shared, nodes = Shared(), Nodes(*many(2))
    shared.other = False
    async with running(nodes, Client(), sharing=shared):
        await until(lambda: shared.kept.keys() == {"n0", "n1"}, what="both are published")
        nodes.delete("n0")
        assert shared.kept.keys() == {"n1"}


async def test_a_node_that_the_leader_does_not_scrape_is_scraped_here():
    """Its list of nodes may be older, or its --node-selector another one in a rolling update."""
    client = Client()
    options = {"resolution": 0.1, "timeout": 0.1, "sharing": Shared()}
    async with running(Nodes(*many(2)), client, **options) as pool:
        while not client.of("n1"):
            now = time.monotonic()
            pool.accept("n0", sample("n0", now), now)
            await until(lambda seen=now: time.monotonic() > seen + 0.02)
        assert not client.of("n0")
        assert pool.states["n1"].failure is None


async def test_a_scrape_that_is_queued_when_another_replica_begins_to_scrape_is_not_made():
    shared, client = Shared(), Client()
    shared.other = False
    first_may_end = asyncio.Event()

    async def answer(target):
        if target.node == "n0":
            await first_may_end.wait()
        return sample(target.node, time.monotonic())

    client.answer = answer
    options = {"sharing": shared, "resolution": 60.0, "timeout": 60.0, "concurrency": 1}
    async with running(Nodes(*many(2)), client, **options, slow_after=None) as pool:
        await until(lambda: client.of("n0"), what="the first node is scraped, the other is queued")
        shared.other = True
        first_may_end.set()
        await until(lambda: all(state.limit is None for state in pool.states.values()))
        assert not client.of("n1")
        assert pool.states["n1"].failure is None
        now = time.monotonic()
        assert pool.accept("n1", sample("n1", now), now)


async def test_a_scrape_that_fails_when_another_replica_scrapes_says_nothing_of_the_node():
    shared, client = Shared(), Client()
    shared.other = False
    may_end = asyncio.Event()

    async def answer(_):
        await may_end.wait()
        return LATE

    client.answer = answer
    options = {"sharing": shared, "resolution": 60.0, "timeout": 60.0}
    async with running(Nodes(*many(1)), client, **options) as pool:
        await until(lambda: client.of("n0"), what="our own scrape is under way")
        shared.other = True
        may_end.set()
        await until(lambda: pool.states["n0"].limit is None)
        assert pool.states["n0"].failure is None
        assert shared.kept == {}


async def test_when_nobody_else_scrapes_any_more_late_nodes_are_scraped_before_they_are_due():
    shared, client = Shared(), Client()
    async with running(Nodes(*many(3)), client, sharing=shared, resolution=60.0) as pool:
        now = time.monotonic()
        pool.accept("n0", sample("n0", now), now)
        pool.accept("n1", sample("n1", now - 61.0), now - 61.0)
        shared.other = False
        pool.scrape_late()
        await until(lambda: client.of("n1") and client.of("n2"), what="both late nodes")
        assert not client.of("n0")
