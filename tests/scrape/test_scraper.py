"""Every node is scraped once per period, whatever other nodes do."""

import asyncio
import itertools
import logging
import statistics
import time
from contextlib import asynccontextmanager

import pytest

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.scrape.errors import Cause, Failure
from metricsapi.scrape.node_status import counted, untried
from metricsapi.scrape.schedule import offset_of
from metricsapi.scrape.scraper import ScraperPool
from metricsapi.scrape.targets import PATH_ANNOTATION
from metricsapi.storage.types import NodeSample
from tests.support.conditions import until
from tests.support.kubelet import node
from tests.support.telemetry import telemetry

REFUSED = Failure(Cause.REFUSED, "127.0.0.1:10250 refused the connection")
TIMEOUT = Failure(Cause.TIMEOUT, "127.0.0.1:10250 did not answer in time")


class Nodes:
    """The nodes informer's part that the pool uses."""

    def __init__(self, *nodes):
        self.nodes = {each.name: each for each in nodes}

    def subscribe(self, callback):
        self.callback = callback
        for each in self.nodes.values():
            callback(None, each)

    def put(self, new):
        old, self.nodes[new.name] = self.nodes.get(new.name), new
        self.callback(old, new)

    def delete(self, name):
        self.callback(self.nodes.pop(name), None)


class Client:
    """`answer(target)` gives what a scrape ends in: a sample by default."""

    def __init__(self):
        self.scrapes = []  # (node, when)
        self.running = 0
        self.most = 0
        self.dropped = []
        self.closed = False

    async def answer(self, target):
        return sample(target.node)

    async def scrape(self, target, _deadline):
        self.scrapes.append((target.node, time.monotonic()))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self.answer(target)
        finally:
            self.running -= 1

    def of(self, name):
        return [at for node_, at in self.scrapes if node_ == name]

    def drop(self, name):
        self.dropped.append(name)

    def close(self):
        self.closed = True


class Store:
    def __init__(self):
        self.samples = {}
        self.forgotten = []

    def put_in_steps(self, sample):
        self.samples[sample.node] = sample
        yield

    def forget(self, name):
        self.samples.pop(name, None)
        self.forgotten.append(name)


def sample(name):
    now = time.monotonic()
    return NodeSample(name, now, now, None, [])


@asynccontextmanager
async def running(nodes, client, store=None, **options):
    options = {"resolution": 0.3, "timeout": 0.2, "concurrency": 4, **options}
    slow_after = options.pop("slow_after", 60.0)
    parts = {name: options.pop(name, None) for name in ("sharing", "planner")}
    pool = ScraperPool(
        nodes=nodes,
        client=client,
        store=store or Store(),
        telemetry=telemetry(),
        settings=KubeletSettings(**options),
        slow_after=slow_after,
        **parts,
    )
    task = asyncio.create_task(pool.run())
    await asyncio.sleep(0)
    try:
        yield pool
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def many(count):
    return [node(f"n{i}") for i in range(count)]


async def test_every_node_is_asked_at_once_within_the_bound():
    client, store = Client(), Store()

    async def answer(target):
        await asyncio.sleep(0.01)
        return sample(target.node)

    client.answer = answer
    async with running(Nodes(*many(40)), client, store, resolution=60.0):
        await until(lambda: len(store.samples) == 40)
        assert client.most == 4


async def test_each_node_keeps_its_period():
    """By medians: a moment in which this machine stood still moves two periods and one scrape, or
    leaves one scrape out.
    """
    client = Client()
    async with running(Nodes(*many(10)), client):
        await until(lambda: all(len(client.of(f"n{i}")) >= 10 for i in range(10)))
    for i in range(10):
        scrapes = client.of(f"n{i}")[2:10]
        periods = [later - earlier for earlier, later in itertools.pairwise(scrapes)]
        assert statistics.median(periods) == pytest.approx(0.3, abs=0.05)
        places = [(at + 0.1) % 0.3 for at in scrapes]  # all are read at multiples of the period
        assert statistics.median(places) == pytest.approx(0.1, abs=0.05)


async def test_hanging_nodes_delay_nobody():
    """Not at the start, when nobody knows yet which nodes hang, and not later."""
    client, store, timeouts = Client(), Store(), asyncio.Queue()
    hanging = {f"n{i}" for i in range(20)}

    async def answer(target):
        if target.node in hanging:
            return await timeouts.get()  # as long as the test wants it to hang
        return sample(target.node)

    client.answer = answer
    options = {"resolution": 0.5, "timeout": 1.0, "failed_concurrency": 2, "slow_after": 0.05}
    async with running(Nodes(*many(40)), client, store, **options) as pool:
        await until(lambda: len(store.samples) == 20)
        assert not any(pool.states[name].tried for name in hanging)
        for _ in hanging:
            timeouts.put_nowait(TIMEOUT)
        await until(lambda: all(pool.states[name].failure for name in hanging))
        await until(lambda: client.running == 2, what="the next scrapes of those that hang")
        for _ in range(3):
            client.most = client.running
            store.samples.clear()
            await until(lambda: len(store.samples) == 20)
            assert client.most <= 2 + 4
        assert client.running == 2


async def test_nodes_that_failed_wait_in_a_small_pool():
    client = Client()
    failing = 0
    most = 0

    async def answer(target):
        nonlocal failing, most
        if not pool.states[target.node].failure:
            return TIMEOUT
        failing += 1
        most = max(most, failing)
        await asyncio.sleep(0.05)
        failing -= 1
        return TIMEOUT

    client.answer = answer
    async with running(Nodes(*many(12)), client, concurrency=8, failed_concurrency=2) as pool:
        await until(lambda: len(client.scrapes) > 40)
    assert most == 2


async def test_a_scrape_that_would_overlap_is_skipped_and_counted():
    client = Client()
    release = asyncio.Event()

    async def answer(target):
        await release.wait()
        return sample(target.node)

    client.answer = answer
    async with running(Nodes(node("n1")), client, resolution=0.05, timeout=5.0) as pool:
        await until(lambda: pool.skipped >= 2)
        assert len(client.scrapes) == 1
        assert pool.states["n1"].skipped == pool.skipped
        release.set()
        await until(lambda: len(client.scrapes) >= 2)


class Panic(BaseException):
    """What a library in Rust raises when it panics: no Exception."""


@pytest.mark.parametrize("error", [RuntimeError("oops"), Panic("oops"), SystemExit(1)])
async def test_a_bug_is_a_failure_of_that_scrape_only(error):
    client, store = Client(), Store()

    async def answer(target):
        if len(client.scrapes) == 1:
            raise error
        return sample(target.node)

    client.answer = answer
    async with running(Nodes(node("n1")), client, store) as pool:
        await until(lambda: pool.states["n1"].failure)
        assert pool.states["n1"].failure.cause is Cause.INTERNAL
        await until(lambda: "n1" in store.samples)
        assert pool.states["n1"].failure is None


async def test_one_log_line_per_change_of_state_not_per_scrape(caplog):
    caplog.set_level(logging.INFO, "metricsapi.scrape")
    client = Client()
    results = [REFUSED, REFUSED, REFUSED, TIMEOUT, REFUSED, None, None, REFUSED, None]

    async def answer(target):
        result = results.pop(0) if results else None
        return result or sample(target.node)

    client.answer = answer
    async with running(Nodes(node("n1")), client, resolution=0.02):
        await until(lambda: not results and len(client.scrapes) > 10)
    refused, timeout = (
        {"node": "n1", "cause": failure.cause, "error": failure.message, "fix": failure.fix}
        for failure in (REFUSED, TIMEOUT)
    )
    assert [(record.getMessage(), record.data) for record in caplog.records] == [
        ("node failed", refused),
        ("node failed", timeout),
        ("node answers again", {"node": "n1"}),
    ]


async def test_what_is_known_of_a_node_is_kept_for_the_status_page():
    client = Client()
    async with running(Nodes(node("n1")), client) as pool:
        await until(lambda: pool.states["n1"].tried)
        state = pool.states["n1"]
        good, changed = state.last_success, state.changed_at
        assert good == changed

        async def answer(_):
            return REFUSED

        client.answer = answer
        await until(lambda: state.failure)
        assert state.failure == REFUSED
        assert state.changed_at > changed
        assert state.last_success >= good
        assert state.duration >= 0


async def test_a_node_that_is_gone_is_forgotten_at_once():
    client, store, nodes = Client(), Store(), Nodes(*many(2))
    async with running(nodes, client, store, resolution=0.05) as pool:
        await until(lambda: len(store.samples) == 2)
        nodes.delete("n0")
        assert "n0" not in pool.states
        assert store.forgotten == client.dropped == ["n0"]
        count = len(client.of("n0"))
        await until(lambda: len(client.of("n1")) >= 5)
        assert len(client.of("n0")) == count


async def test_reads_that_go_well_follow_each_other_in_one_task():
    client, store, tasks = Client(), Store(), {}

    async def answer(target):
        await asyncio.sleep(0)
        tasks[target.node] = asyncio.current_task()
        return REFUSED if target.node == "n3" else sample(target.node)

    client.answer = answer
    async with running(Nodes(*many(8)), client, store, resolution=60.0, concurrency=1):
        await until(lambda: len(store.samples) == 7)
    assert client.most == 1
    assert len({tasks[name] for name in ("n0", "n1", "n2", "n3")}) == 1
    assert len(set(tasks.values())) == 2


async def test_a_node_that_goes_ends_its_own_read_and_none_that_came_before_or_waits():
    client, store, nodes = Client(), Store(), Nodes(*many(4))

    async def answer(target):
        await asyncio.sleep(60.0 if target.node == "n1" else 0)
        return sample(target.node)

    client.answer = answer
    async with running(nodes, client, store, resolution=60.0, timeout=60.0, concurrency=1):
        await until(lambda: "n0" in store.samples and client.running == 1)
        assert not client.of("n2")
        nodes.delete("n1")
        await until(lambda: store.samples.keys() == {"n0", "n2", "n3"})
        await until(lambda: client.running == 0)


async def test_reading_nothing_is_no_delay_when_the_last_node_is_gone():
    """Liveness asks for `newest_scrape`: an empty cluster must not look like a loop that hangs."""
    client, nodes = Client(), Nodes(*many(1))
    async with running(nodes, client) as pool:
        await until(lambda: client.scrapes)
        assert pool.newest_scrape is not None
        nodes.delete("n0")
        assert pool.newest_scrape is None


async def test_a_node_that_moves_is_read_there_at_once_even_from_the_middle_of_a_scrape():
    client, store, nodes = Client(), Store(), Nodes(node("n1", "127.0.0.1"))

    async def answer(target):
        if target.hosts == ("127.0.0.1",):
            await asyncio.sleep(60)
        return sample(target.node)

    client.answer = answer
    async with running(nodes, client, store, resolution=60.0, timeout=60.0):
        await until(lambda: client.running == 1)
        nodes.put(node("n1", "127.0.0.9"))
        await until(lambda: "n1" in store.samples)
        assert client.dropped == ["n1"]
        assert client.running == 0


async def test_a_failed_node_that_becomes_ready_is_read_at_once():
    client, store, nodes = Client(), Store(), Nodes(node("n1", ready=False))
    results = [REFUSED]

    async def answer(target):
        return results.pop() if results else sample(target.node)

    client.answer = answer
    async with running(nodes, client, store, resolution=60.0) as pool:
        await until(lambda: pool.states["n1"].failure)
        nodes.put(node("n1", ready=True))
        await until(lambda: "n1" in store.samples)


async def test_only_selected_nodes_are_read_and_a_change_of_labels_counts():
    client, store = Client(), Store()
    nodes = Nodes(node("a", labels={"x": "1"}), node("b"))
    async with running(nodes, client, store, node_selector="x") as pool:
        await until(lambda: "a" in store.samples)
        assert set(pool.states) == {"a"}
        nodes.put(node("b", labels={"x": "1"}))
        await until(lambda: "b" in store.samples)
        nodes.put(node("a"))
        assert set(pool.states) == {"b"}
        assert store.forgotten == ["a"]


async def test_the_node_selector_is_the_full_grammar():
    client, store = Client(), Store()
    nodes = Nodes(
        node("a", labels={"zone": "a"}),
        node("spot", labels={"zone": "a", "spot": "1"}),
        node("c", labels={"zone": "c"}),
    )
    async with running(nodes, client, store, node_selector="zone in (a,b),!spot") as pool:
        assert set(pool.states) == {"a"}


async def test_nothing_is_left_when_it_stops_or_nodes_churn():
    client, nodes = Client(), Nodes()
    before = asyncio.all_tasks()

    async def answer(target):
        await asyncio.sleep(0.001 * (hash(target.node) % 50))
        return REFUSED if hash(target.node) % 3 else sample(target.node)

    client.answer = answer
    async with running(nodes, client, resolution=0.05) as pool:
        for generation in range(20):
            for i in range(20):
                nodes.put(node(f"g{generation}-n{i}"))
            await asyncio.sleep(0.01)
            for i in range(20):
                nodes.delete(f"g{generation}-n{i}")
        assert pool.states == {}
        await until(lambda: client.running == 0)
    assert client.closed
    assert asyncio.all_tasks() == before
    assert len(client.dropped) == 400


async def test_a_kubelet_that_hangs_is_not_waited_for_once_its_scrape_has_taken_too_long():
    client = Client()

    async def answer(target):
        if target.node == "hangs":
            await asyncio.Event().wait()
        return sample(target.node)

    client.answer = answer
    async with running(Nodes(node("hangs"), node("n1")), client, timeout=60.0) as pool:
        await until(lambda: pool.states["n1"].tried and len(client.scrapes) == 2)
        states, now = pool.states.values(), time.monotonic()
        assert untried(states, now - 3600) == 1
        assert untried(states, now) == 0


async def test_a_node_without_usable_usage_is_neither_well_nor_failing(caplog):
    caplog.set_level(logging.INFO, "metricsapi.scrape")
    client, store = Client(), Store()
    missing = ["no usable CPU"] * 5 + [""] * 100

    async def answer(target):
        result = sample(target.node)
        result.unusable = missing.pop(0)
        return result

    client.answer = answer
    async with running(Nodes(node("n1")), client, store, resolution=0.02) as pool:
        await until(lambda: pool.states["n1"].unusable)
        assert counted(pool.states.values()) == {("unusable", "no_usage"): 1}
        assert pool.states["n1"].failure is None
        assert pool.states["n1"].last_success is not None
        assert "n1" in store.samples  # what is usable of it is stored
        await until(lambda: pool.states["n1"].unusable is None)
        assert counted(pool.states.values()) == {("ok", ""): 1}
    fix = Failure(Cause.NO_USAGE, "").fix
    data = {"node": "n1", "cause": "no_usage", "error": "no usable CPU", "fix": fix}
    assert [(record.getMessage(), record.data) for record in caplog.records] == [
        ("node has no usable usage", data),
        ("node answers again", {"node": "n1"}),
    ]


async def test_through_the_api_server_scrapes_are_spread_over_the_period():
    """Each node has its own offset there, in place of one for a thousand nodes."""
    client, names = Client(), [f"n{i}" for i in range(40)]
    options = {"resolution": 1.0, "transport": "apiserver-proxy", "concurrency": 50}
    async with running(Nodes(*map(node, names)), client, **options):
        await until(lambda: all(len(client.of(name)) >= 4 for name in names))
    third = {name: client.of(name)[2] % 1.0 for name in names}
    for name, at in third.items():
        away = abs(at - offset_of(name, 1.0)) % 1.0
        assert min(away, 1.0 - away) < 0.25
    assert max(third.values()) - min(third.values()) > 0.5


async def test_through_the_api_server_the_limit_is_hard():
    client, release = Client(), asyncio.Event()

    async def answer(target):
        await release.wait()
        return sample(target.node)

    client.answer = answer
    options = {"resolution": 60.0, "timeout": 60.0, "concurrency": 3, "slow_after": 0.005}
    async with running(Nodes(*many(20)), client, transport="apiserver-proxy", **options):
        await until(lambda: client.running == 3)
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert client.running == client.most == 3
        release.set()
        await until(lambda: len(client.scrapes) == 20)
        assert client.most == 3


async def test_an_annotation_that_is_no_path_is_named_once_per_change(caplog):
    caplog.set_level(logging.WARNING, "metricsapi.scrape")
    nodes = Nodes()
    async with running(nodes, Client()):
        for path in ("/../x", "/../x", "/good", "/a?b"):
            nodes.put(node("n1", annotations={PATH_ANNOTATION: path}))
    assert [record.data["value"] for record in caplog.records] == ["/../x", "/a?b"]
