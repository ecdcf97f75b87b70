"""When a replica scrapes for itself, and when it refuses to serve what it has stored."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

from metricsapi.config.settings import Settings
from metricsapi.kube.errors import Unreachable
from metricsapi.server.replicas.certificate_identity import CertificateIdentity
from metricsapi.server.replicas.follower import SILENCE
from metricsapi.server.replicas.replication import Replication
from metricsapi.server.replicas.stall import STALL
from tests.support.conditions import until


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class NoServer:
    async def request(self, *_, **__):
        raise Unreachable("no route to host")


def replication(clock, *, listed=True):
    nodes = SimpleNamespace(synced=asyncio.Event())
    if listed:
        nodes.synced.set()
    identity = CertificateIdentity(clock=clock)
    made = Replication(Settings(), NoServer(), identity, nodes, asyncio.Event(), clock=clock)
    return made, nodes


@asynccontextmanager
async def checking(replica):
    (check,) = [task for task in replica.tasks() if task.name == "replica-check"]
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
