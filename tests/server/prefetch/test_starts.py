"""Pods that start have their node scraped: informer, planner, scraper pool and store together."""

import asyncio
import random
from collections import defaultdict
from contextlib import asynccontextmanager

import pytest

from metricsapi.kube.resources import Pod
from metricsapi.scrape.errors import Cause, Failure
from metricsapi.server.prefetch.planner import QueryPlanner
from metricsapi.server.prefetch.starts import Starts
from metricsapi.storage.store import MetricsStore
from tests.api.cluster import Objects
from tests.scrape.test_scraper import Client, Nodes, running
from tests.support.conditions import until
from tests.support.kubelet import node
from tests.support.samples import container_stats, node_sample
from tests.support.simulated_time import run_simulated

PERIOD, INTERVAL = 15.0, 5.0
EPOCH = 1_800_000_000.0  # the wall clock when the simulated one is 0
CPU = 250_000_000  # nanocores of each pod


def now():
    return asyncio.get_running_loop().time()


class Pods(Objects):
    """The pods informer: `synced` once its first list is there."""

    def __init__(self):
        super().__init__()
        self.synced = asyncio.Event()


class Kubelets(Client):
    """Kubelets over containerd: `pods` are the names and starts of each node's."""

    def __init__(self):
        super().__init__()
        self.pods = defaultdict(dict)
        self.down = set()

    async def answer(self, target):
        requested = now()
        await asyncio.sleep(0.05)
        if target.node in self.down:
            return Failure(Cause.REFUSED, "refused")
        read = now()
        pods = [
            ("ns", name, f"uid-{name}", [stats(start, read)])
            for name, start in self.pods[target.node].items()
            if start <= read
        ]
        await asyncio.sleep(0.05)
        return node_sample(target.node, requested, now(), pods, own=stats(0.0, read))


def stats(start, at):
    time = float(int(EPOCH + at))
    counter = round((at - start) * CPU) + 1
    return container_stats("c", EPOCH + start, time, counter, 0, time, 2**24)


class World:
    """A cluster of nodes, and `usage(name)` of its pods."""

    def __init__(self, names):
        self.kubelets = Kubelets()
        self.pods = Pods()
        self.nodes = Nodes(*(node(name) for name in names))
        self.store = MetricsStore(max_age=60.0, period=PERIOD)
        self.starts = Starts(self.pods, period=PERIOD, min_interval=INTERVAL, clock=now)
        self.planner = QueryPlanner(
            PERIOD,
            INTERVAL,
            clock=now,
            exact=lambda _: True,
            answer_time=lambda _: 0.1,
            wanted=self.starts.wanted,
        )

    @asynccontextmanager
    async def scraping(self):
        options = {"resolution": PERIOD, "timeout": 10.0, "concurrency": 100}
        store = self.starts.noting(self.store)
        async with running(
            self.nodes, self.kubelets, store, planner=self.planner, **options
        ) as pool:
            self.starts.attach(pool)
            yield pool

    def start(self, where, name, *, lag=0.0, ready=False, told=True):
        """Let the API server tell that a pod runs, `lag` seconds after it began to."""
        self.kubelets.pods[where].setdefault(name, now() - lag)
        self.pods.set(Pod("ns", name, {}, f"uid-{name}", "", where if told else "", ready))

    def usage(self, name):
        return self.store.pod_usage("ns", name, now())

    async def seconds_to_usage(self, name):
        began = now()
        await until(lambda: self.usage(name) is not None, seconds=60.0)
        return now() - began


def simulated(test):
    """Run a test of a world with two nodes that was scraped for a while; `now()` is simulated."""

    def run():
        async def main():
            world = World(["a", "b"])
            async with world.scraping():
                world.pods.synced.set()
                await asyncio.sleep(3.3 * PERIOD)
                await test(world)

        run_simulated(main())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@simulated
async def test_a_pod_has_usage_from_the_second_scrape_of_its_node(world):
    before = len(world.kubelets.of("b"))
    world.start("a", "p")
    assert await world.seconds_to_usage("p") < INTERVAL + 1.0
    assert world.usage("p").containers[0].cpu == pytest.approx(CPU, rel=0.15)
    assert len(world.kubelets.of("b")) <= before + 1


@simulated
async def test_usage_from_after_ready_has_a_window_that_begins_there(world):
    world.start("a", "p")
    await asyncio.sleep(11.0)
    world.start("a", "p", ready=True)
    ready = now()
    await asyncio.sleep(2.0)
    assert any(ready + 1.0 <= at <= ready + 1.3 for at in world.kubelets.of("a"))


@simulated
async def test_without_a_node_usage_follows_the_first_answer_that_lists_the_pod(world):
    world.start("a", "p", told=False)
    await world.seconds_to_usage("p")
    listed, second = world.kubelets.of("a")[-2:]
    assert second - listed == pytest.approx(INTERVAL, abs=0.2)


@simulated
async def test_a_node_that_fails_is_scraped_as_failed_nodes_are(world):
    world.kubelets.down.add("a")
    await asyncio.sleep(PERIOD)
    before = len(world.kubelets.of("a"))
    world.start("a", "p")
    await asyncio.sleep(4 * PERIOD)
    assert len(world.kubelets.of("a")) <= before + 4
    world.kubelets.down.clear()
    assert await world.seconds_to_usage("p") < PERIOD + INTERVAL + 1.0


def test_pods_of_the_first_list_are_no_starts():
    async def main():
        world = World(["a"])
        async with world.scraping():
            await asyncio.sleep(20.0)
            before = len(world.kubelets.of("a"))
            for number in range(50):
                world.start("a", f"p{number}")
            world.pods.synced.set()
            await asyncio.sleep(INTERVAL + 1.0)
            assert len(world.kubelets.of("a")) <= before + 1

    run_simulated(main())


def test_a_node_that_is_gone_is_forgotten():
    async def main():
        world = World(["a"])
        async with world.scraping():
            world.pods.synced.set()
            await asyncio.sleep(20.0)
            world.start("a", "p")
            world.nodes.delete("a")
            assert world.starts.wanted("a", 0.0) == ()

    run_simulated(main())


def test_starts_all_over_a_cluster_have_usage_soon_at_a_bounded_number_of_scrapes():
    async def main():
        names = [f"n{number}" for number in range(40)]
        rng, world, took = random.Random(5), World(names), []
        async with world.scraping():
            world.pods.synced.set()
            await asyncio.sleep(3.3 * PERIOD)

            async def start(name, delay):
                await asyncio.sleep(delay)
                lag = rng.uniform(0.1, 1.1)
                world.start(rng.choice(names), name, lag=lag, ready=rng.random() < 0.5)
                took.append(lag + await world.seconds_to_usage(name))

            began = now()
            await asyncio.gather(*(start(f"p{n}", rng.uniform(0.0, 120.0)) for n in range(120)))
            scrapes = sum(at >= began for name in names for at in world.kubelets.of(name))
            periods = (now() - began) / PERIOD * len(names)
        took.sort()
        assert took[len(took) // 2] < 7.0
        assert took[-1] < 12.0
        assert scrapes / periods < 1.6

    run_simulated(main())
