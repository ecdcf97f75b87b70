"""From queries to plans: hosts are found, and nodes planned again, apart from the requests."""

import asyncio
import contextlib
import random
from types import SimpleNamespace

import pytest

from metricsapi.api.catalog import Catalog
from metricsapi.api.queries import Kind, Query
from metricsapi.kube.resources import Pod
from metricsapi.server.prefetch.prefetcher import Prefetcher
from metricsapi.storage.store import MetricsStore
from tests.support.conditions import until

HPA = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"


class Informer:
    """Objects that a test adds and removes."""

    def __init__(self):
        self.callbacks = []
        self.synced = asyncio.Event()

    def subscribe(self, callback):
        self.callbacks.append(callback)

    def change(self, old, new):
        for callback in self.callbacks:
            callback(old, new)


class Pool:
    def __init__(self):
        self.states = {}
        self.replanned = []

    def replan(self, node):
        self.replanned.append(node)


class Setup:
    """A prefetcher over a cluster; `now` is its clock."""

    def __init__(self):
        self.now = 1000.0
        self.pods, nodes, store = Informer(), Informer(), MetricsStore(max_age=60.0)
        self.forwarded = []
        self.prefetcher = Prefetcher(
            Catalog(nodes, self.pods, store),
            self.pods,
            store,
            period=15.0,
            min_interval=5.0,
            clock=lambda: self.now,
            forward=lambda query, at: self.forwarded.append((query, at)),
        )
        self.pool = Pool()
        self.prefetcher.attach(self.pool)

    def add(self, name, node, namespace="default", **labels):
        self.pods.change(None, Pod(namespace, name, labels, uid=name, node=node))

    def remove(self, name, node, namespace="default", **labels):
        self.pods.change(Pod(namespace, name, labels, uid=name, node=node), None)

    def ask(self, query, times=1, interval=15.0):
        for _ in range(times):
            self.now += interval
            self.prefetcher.query_received(query)

    def reason(self, node):
        """Return why a node is scraped next if its last scrape was just now."""
        return self.prefetcher.planner.next_scrape(node, self.now, self.now + 15.0).reason


@pytest.fixture
async def setup():
    made = Setup()
    task = asyncio.create_task(made.prefetcher.run())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def selecting(selector, namespace="default", user=HPA):
    return Query(user, namespace, selector, Kind.SELECTOR)


async def prefetched(setup, *nodes):
    await until(lambda: {setup.reason(node) for node in nodes} == {"prefetch"})


@pytest.mark.parametrize(
    ("query", "hosts"),
    [
        (selecting("app=web"), {"n1", "n2"}),
        (selecting("app in (web,db)"), {"n1", "n2", "n3"}),
        (selecting("app=web", namespace=None), {"n1", "n2", "n4"}),
        (selecting("app!=web"), {"n3"}),
        (Query(HPA, "default", "", Kind.LIST), {"n1", "n2", "n3"}),
        (Query(HPA, None, "", Kind.LIST), {"n1", "n2", "n3", "n4"}),
        (Query(HPA, "default", "", Kind.SINGLE, "db-0"), {"n3"}),
        (selecting("app=none"), set()),
        (selecting("app=web", namespace="absent"), set()),
        (selecting("=,("), set()),
    ],
)
async def test_the_nodes_that_host_what_a_regular_query_matches_are_prefetched(setup, query, hosts):
    setup.add("web-0", "n1", app="web")
    setup.add("web-1", "n2", app="web")
    setup.add("db-0", "n3", app="db")
    setup.add("web-0", "n4", namespace="other", app="web")
    last = selecting("app=db", namespace="other", user="last")
    setup.add("db-9", "n9", namespace="other", app="db")
    setup.ask(query, 5)
    setup.now -= 5 * 15.0
    setup.ask(last, 5)
    await prefetched(setup, "n9")  # the queries before it are done, too
    nodes = {"n1", "n2", "n3", "n4"}
    assert {node for node in nodes if setup.reason(node) == "prefetch"} == hosts


async def test_pods_that_come_and_go_move_what_is_prefetched(setup):
    query = selecting("app=web")
    setup.add("web-0", "n1", app="web")
    setup.ask(query, 5)
    await prefetched(setup, "n1")
    setup.add("web-1", "n2", app="web")
    setup.remove("web-0", "n1", app="web")
    setup.ask(query)
    await prefetched(setup, "n2")
    assert setup.reason("n1") == "periodic"


async def test_a_pod_whose_node_is_not_known_yet_is_looked_for_again(setup):
    query = selecting("app=web")
    setup.add("web-0", "", app="web")
    setup.add("web-1", "n2", app="web")
    setup.ask(query, 5)
    await prefetched(setup, "n2")
    setup.pods.change(
        Pod("default", "web-0", {"app": "web"}, uid="web-0"),
        Pod("default", "web-0", {"app": "web"}, uid="web-0", node="n1"),
    )
    setup.ask(query)
    await prefetched(setup, "n1", "n2")


async def test_nodes_that_wait_for_a_query_are_planned_again_when_it_comes(setup):
    query = selecting("app=web")
    setup.add("web-0", "n1", app="web")
    setup.ask(query, 5)
    await prefetched(setup, "n1")
    setup.pool.replanned.clear()
    setup.ask(query, interval=15.2)
    await until(lambda: setup.pool.replanned == ["n1"])


async def test_a_query_is_observed_without_waiting_for_the_plans(setup):
    """Nothing is found or planned while a request is served."""
    setup.add("web-0", "n1", app="web")
    setup.ask(selecting("app=web"), 6)
    assert setup.reason("n1") == "periodic"
    await prefetched(setup, "n1")


async def test_queries_of_other_replicas_count_as_our_own(setup):
    setup.add("web-0", "n1", app="web")
    for number in range(6):
        setup.prefetcher.observe(selecting("app=web"), 1000.0 + number * 15.0)
    setup.now = 1076.0
    await prefetched(setup, "n1")
    assert setup.forwarded == []


async def test_each_query_of_our_own_is_forwarded(setup):
    setup.ask(selecting("app=web"), 2)
    assert setup.forwarded == [(selecting("app=web"), 1015.0), (selecting("app=web"), 1030.0)]


async def test_what_is_remembered_nowhere_is_not_forwarded(setup):
    """A selector as long as a request may be, a thousand times: they would all wait to be sent."""
    setup.ask(selecting("app in (" + ",".join(f"web-{i}" for i in range(10_000)) + ")"))
    setup.ask(selecting("app=web"))
    setup.ask(selecting("app=web"), interval=0.01)  # an HPA's second one
    assert setup.forwarded == [(selecting("app=web"), 1030.0)]


async def test_queries_that_are_regular_no_longer_take_no_place_of_others(setup):
    setup.add("web-0", "n1", app="web")
    old = [selecting("app=web", user=f"old-{i}") for i in range(300)]
    for _ in range(5):
        setup.ask(old[0])
        for each in old[1:]:
            setup.ask(each, interval=0.0)
    await prefetched(setup, "n1")
    for interval in (1.1, 290.0) * 9:
        setup.ask(old[0], interval=interval)
        for each in old[1:]:
            setup.ask(each, interval=0.0)
    await until(lambda: setup.reason("n1") == "periodic")
    setup.ask(selecting("app=web"), 5)
    await prefetched(setup, "n1")


async def test_a_query_more_often_than_nodes_may_be_scraped_is_not_followed(setup):
    setup.add("web-0", "n1", app="web")
    setup.add("db-0", "n2", app="db")
    setup.ask(selecting("app=web"), 40, interval=2.0)
    setup.ask(selecting("app=db"), 5)
    await prefetched(setup, "n2")
    assert setup.reason("n1") == "periodic"


async def test_queries_that_come_faster_than_they_are_planned_for_do_not_seem_to_hang_the_task():
    setup, query, rounds = Setup(), selecting("app=web"), []
    setup.add("web-0", "n1", app="web")
    setup.ask(query, 5)
    task = asyncio.create_task(setup.prefetcher.run(lambda: rounds.append(1)))
    await prefetched(setup, "n1")
    setup.pool.replan = lambda _node: setup.ask(query)  # again and again, for each query
    setup.ask(query)
    await until(lambda: len(rounds) > 50)
    task.cancel()


async def test_a_failure_while_one_query_is_planned_loses_no_other():
    setup = Setup()
    setup.add("web-0", "n1", app="web")
    setup.add("db-0", "n2", app="db")
    for _ in range(6):
        setup.ask(selecting("app=web"))
        setup.ask(selecting("app=db"), interval=0.0)
    planner = setup.prefetcher.planner
    setup.prefetcher.planner = None  # so that planning fails
    with pytest.raises(AttributeError):
        await setup.prefetcher.run()
    setup.prefetcher.planner = planner
    task = asyncio.create_task(setup.prefetcher.run())
    await prefetched(setup, "n2")
    task.cancel()


async def test_what_is_shown_of_an_expected_query_is_short(setup):
    setup.add("web-0", "n1", app="web")
    setup.ask(selecting("app=web," + ",".join(f"x{i}!=y" for i in range(100))), 5)
    await prefetched(setup, "n1")
    shown = setup.prefetcher.planner.expected("n1")
    assert shown.startswith("default/app=web,x0!=y,x1!=y")
    assert len(shown) < 210


async def test_a_node_that_is_gone_leaves_nothing(setup):
    setup.add("web-0", "n1", app="web")
    setup.ask(selecting("app=web"), 5)
    await prefetched(setup, "n1")
    assert setup.prefetcher.planner.expected("n1") == "default/app=web"
    setup.prefetcher.node_changed(SimpleNamespace(name="n1"), None)
    assert setup.prefetcher.planner.expected("n1") == ""
    setup.ask(selecting("app=web"))


async def test_invented_selectors_at_regular_times_make_no_node_be_scraped_more_often(setup):
    """They are remembered, up to a bound, and what each node is planned for stays small."""
    rng = random.Random(3)
    for number in range(30):
        setup.add(f"web-{number}", f"n{number % 10}", app="web", id=str(number))
    queries = [
        selecting(f"app=web,id!=x{number}", user=f"user-{number % 3}") for number in range(300)
    ]
    for _ in range(5):
        for query in queries:
            setup.prefetcher.query_received(query)
            setup.now += 15.0 / 300
        setup.now += rng.random() * 0.1
    await prefetched(setup, "n0")
    last = setup.now
    scrapes = 0
    while setup.now < last + 60.0:
        plan = setup.prefetcher.planner.next_scrape("n0", setup.now, setup.now + 15.0)
        setup.now = max(plan.at, setup.now + 0.1)
        scrapes += 1
    assert scrapes <= 8  # 1.25 in each of 4 periods, and what was saved
