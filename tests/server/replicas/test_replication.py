"""When a replica scrapes for itself, and when it refuses to serve what it has stored."""

import asyncio
import logging
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import msgspec
import pytest

from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import NotFound, Unreachable
from metricsapi.kube.lease import Record, lease_of, record_of
from metricsapi.scrape.errors import Cause, Failure
from metricsapi.server.replicas.certificate_identity import CertificateIdentity
from metricsapi.server.replicas.follower import address_of
from metricsapi.server.replicas.reception import SILENCE
from metricsapi.server.replicas.replication import Replication
from metricsapi.server.replicas.stall import STALL
from tests.server.replicas.pair import identity as replica_identity
from tests.server.replicas.pair import leading
from tests.support.conditions import until


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class NoServer:
    request_json = KubeClient.request_json

    async def request(self, *_, **__):
        raise Unreachable("no route to host")


class Leases:
    """An API server without a Lease; `written` are the Leases that it got."""

    request_json = KubeClient.request_json

    def __init__(self):
        self.written = []

    async def request(self, method, _, *, body=None):
        if method == "GET":
            raise NotFound(404, "NotFound", "no such Lease")
        self.written.append(body)
        return msgspec.json.encode(body)


class LeaseOf:
    """An API server whose Lease another process holds and renews; it can be `away`."""

    request_json = KubeClient.request_json

    def __init__(self, holder, address):
        self.record = Record(holder=holder, address=address, version="1")
        self.away = False

    async def request(self, *_, **__):
        if self.away:
            raise Unreachable("no route to host")
        return msgspec.json.encode(lease_of(self.record, {}, duration=15.0, now=time.time()))


class Scraper:
    """Takes what the leader scraped."""

    def __init__(self):
        self.accepted, self.states = [], {}

    def accept(self, node, _, __):
        self.accepted.append(node)
        return True

    def scrape_late(self):
        """There are no nodes."""


def replication(
    clock, *, listed=True, client=None, address="10.0.0.1", identity=None, lease_duration=15.0
):
    nodes = SimpleNamespace(synced=asyncio.Event())
    if listed:
        nodes.synced.set()
    identity = identity or CertificateIdentity(clock=clock)
    settings = replace(
        Settings(),
        api=replace(Settings().api, advertise_address=address),
        leader_election=replace(Settings().leader_election, lease_duration=lease_duration),
    )
    client = client or NoServer()
    made = Replication(settings, client, identity, nodes, asyncio.Event(), clock=clock)
    return made, nodes


@asynccontextmanager
async def checking(replica, name="replica-check"):
    (check,) = [task for task in replica.tasks() if task.name == name]
    running = asyncio.create_task(check.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_is_stored_is_stale_after_the_process_stood_still():
    clock = Clock()
    replica, _ = replication(clock)
    async with checking(replica):
        assert replica.fresh()
        clock.now += STALL
        assert not replica.fresh()


async def test_a_check_that_starts_late_or_is_started_again_is_no_stall():
    clock = Clock()
    replica, _ = replication(clock)
    clock.now += 10 * STALL
    assert replica.fresh()
    for _ in range(2):
        async with checking(replica):
            assert replica.fresh()
        clock.now += 10 * STALL
        assert replica.fresh()


async def test_a_replica_without_a_leader_scrapes_for_itself_after_some_seconds():
    clock = Clock()
    replica, _ = replication(clock)
    assert not replica.may_scrape()
    clock.now += SILENCE + 0.1
    assert replica.may_scrape()


async def test_those_seconds_begin_when_the_nodes_are_listed():
    clock = Clock()
    replica, nodes = replication(clock, listed=False)
    async with checking(replica):
        clock.now += SILENCE + 0.1
        await until(lambda: not replica.may_scrape(), what="the next check")
        nodes.synced.set()
        clock.now += SILENCE + 0.1
        assert replica.may_scrape()


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1"])
async def test_the_lease_has_the_address_of_its_holder_as_followers_connect_to_it(address):
    leases = Leases()
    replica, _ = replication(Clock(), client=leases, address=address)
    replica.attach(None, 4443)
    async with checking(replica, "leader-election"):
        await until(lambda: leases.written, what="the Lease")
    host = f"[{address}]" if ":" in address else address
    assert address_of(record_of(leases.written[0])) == f"{host}:4443"


async def test_a_follower_that_is_cut_off_from_the_api_server_follows_while_the_leader_streams(
    caplog,
):
    def changes():
        return [of.data["leader"] for of in caplog.records if of.message == "leader changed"]

    caplog.set_level(logging.INFO)
    failure = Failure(Cause.TIMEOUT, "late")
    async with leading() as leader, AsyncExitStack() as stack:
        lease = LeaseOf("a", leader.address)
        replica, _ = replication(
            time.monotonic, client=lease, identity=replica_identity(), lease_duration=0.5
        )
        scraper = Scraper()
        replica.attach(scraper, 4443)
        for task in replica.tasks():
            await stack.enter_async_context(checking(replica, task.name))
        await until(lambda: replica.status().following, what="following")
        lease.away = True
        await until(lambda: changes()[-1] is None, what="a Lease that has expired, as seen here")
        for node in ("n1", "n2"):
            leader.publisher.publish(node, failure, time.monotonic())
            await until(lambda node=node: node in scraper.accepted, what="a result")
        assert replica.status().leader == "a"
        assert not replica.may_scrape()


async def test_a_replica_that_has_no_certificate_yet_waits_for_some_seconds_before_it_scrapes():
    clock = Clock()
    async with AsyncExitStack() as stack:
        replica, _ = replication(clock, client=LeaseOf("a", "10.0.0.2:4443"))
        for task in replica.tasks():
            await stack.enter_async_context(checking(replica, task.name))
        await until(lambda: "--manage-ca-bundle" in replica.status().problem, what="a problem")
        assert not replica.may_scrape()
        clock.now += SILENCE + 0.1
        assert replica.may_scrape()
