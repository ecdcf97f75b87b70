"""Of pods and nodes that are gone nothing stays: storage, index, prefetch, scrapes, metrics."""

import asyncio
import gc
import itertools
import sys
import time

from metricsapi.api.catalog import Catalog
from metricsapi.api.queries import Kind, Query
from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.resources import Pod
from metricsapi.scrape.scraper import ScraperPool
from metricsapi.server.cluster import ClusterView
from metricsapi.server.prefetch.prefetcher import Prefetcher
from metricsapi.storage.store import MetricsStore
from tests.api.cluster import Objects
from tests.scrape.test_scraper import Client
from tests.support.kubelet import node
from tests.support.samples import container_stats, node_sample
from tests.support.simulated_time import run_simulated
from tests.support.telemetry import telemetry

NODES, PODS = 20, 10


class Cluster:
    """Nodes whose pods are replaced, and what serves their usage."""

    def __init__(self):
        self.nodes, self.pods = Objects(), Objects()
        self.pods.synced = asyncio.Event()
        self.listed = {}  # pods by node
        self.numbers = itertools.count()
        view = ClusterView(self.nodes, self.pods, client=None)
        store = MetricsStore(max_age=60.0, period=15.0, cluster=view)
        view.follow(store)
        catalog = Catalog(self.nodes, self.pods, store)
        self.prefetcher = Prefetcher(catalog, self.pods, store, period=15.0, min_interval=5.0)
        self.nodes.subscribe(self.prefetcher.node_changed)
        client, self.telemetry = Client(), telemetry()
        client.answer = self.answer
        self.pool = ScraperPool(
            nodes=self.nodes,
            client=client,
            store=self.prefetcher.noting(store),
            telemetry=self.telemetry,
            settings=KubeletSettings(),
            planner=self.prefetcher.planner,
        )
        self.prefetcher.attach(self.pool)
        client.scrapes = _Forgotten()

    async def answer(self, target):
        await asyncio.sleep(0.1)
        at, name = time.monotonic(), target.node
        stats = container_stats("c", at - 900, at, int(at * 10**8), 10**8, at, 2**24)
        pods = [(pod.namespace, pod.name, pod.uid, [stats]) for pod in self.listed.get(name, ())]
        return node_sample(name, at - 0.1, at, pods, own=stats)

    def add_pod(self, name):
        number = next(self.numbers)
        labels = {"app": f"a{number % 7}", "hash": f"h{number}"}
        pod = Pod(f"ns{number % 3}", f"p{number}", labels, f"u{number}", "", name, ready=True)
        self.listed[name].append(pod)
        self.pods.set(pod)

    def add_node(self):
        name = f"n{next(self.numbers)}"
        self.listed[name] = []
        self.nodes.set(node(name))
        for _ in range(PODS):
            self.add_pod(name)

    def remove_pod(self, name):
        self.pods.delete(self.listed[name].pop(0).key)

    def remove_node(self, name):
        while self.listed[name]:
            self.remove_pod(name)
        del self.listed[name]
        self.nodes.delete(name)

    async def churn(self, rounds):
        """In each round of 15 s replace a node and a pod of each other one; an HPA asks each."""
        for _ in range(rounds):
            oldest, *others = self.listed
            self.remove_node(oldest)
            for name in others:
                self.remove_pod(name)
                self.add_pod(name)
            self.add_node()
            for number in range(7):
                query = Query("hpa", f"ns{number % 3}", f"app=a{number}", Kind.SELECTOR)
                self.prefetcher.query_received(query)
            await asyncio.sleep(15.0)
        gc.collect()
        return sys.getallocatedblocks()


class _Forgotten(list):
    """What a stand-in appends to is not kept."""

    def append(self, _):
        pass


def test_pods_and_nodes_that_come_and_go_take_no_memory():
    async def main():
        cluster = Cluster()
        for _ in range(NODES):
            cluster.add_node()
        cluster.pods.synced.set()
        tasks = [asyncio.create_task(part.run()) for part in (cluster.pool, cluster.prefetcher)]
        before = await cluster.churn(60)
        after = await cluster.churn(60)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return before, after, len(cluster.telemetry.last_request.at)

    before, after, series = run_simulated(main())
    # 1,740 pods and 60 nodes were replaced; the histograms of these nodes are 300 blocks.
    assert after - before < 250
    assert series == NODES
