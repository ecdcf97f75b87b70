"""What followers are sent: everything at first, then the newest of each node."""

import asyncio
import time

import pytest

from metricsapi.scrape.errors import Cause, Failure
from metricsapi.server.replicas.messages import (
    Complete,
    FrameReader,
    Heartbeat,
    Hello,
    Packed,
)
from metricsapi.server.replicas.publisher import HEARTBEAT, KEPT, LARGEST_RESULT, Publisher
from metricsapi.server.replicas.results import Failed, unpack
from metricsapi.storage.types import ContainerStats, NodeSample
from tests.support.samples import node_sample
from tests.support.simulated_time import run_simulated


class Stream:
    """One follower's stream, read message by message."""

    def __init__(self, publisher):
        self.pieces = publisher.stream()
        self._reader = FrameReader()
        self._messages = []

    async def next(self):
        while not self._messages:
            messages = self._reader.feed(await anext(self.pieces))
            self._messages += [unpack(m) if isinstance(m, Packed) else m for m in messages]
        return self._messages.pop(0)

    async def until(self, kind):
        """Return the messages up to the next one of a kind, that one left out."""
        passed = []
        while not isinstance(message := await self.next(), kind):
            passed.append(message)
        return passed

    async def close(self):
        await self.pieces.aclose()


def publisher(leads=lambda: True):
    return Publisher("a", clock=asyncio.get_running_loop().time, leads=leads)


def sample(node, answered):
    return node_sample(node, answered - 0.1, answered, [])


async def test_a_stream_begins_with_the_last_scrapes_of_every_node():
    leader = publisher()
    for at in range(10):
        leader.publish("n1", sample("n1", float(at)), float(at))
    leader.publish("n2", Failure(Cause.TIMEOUT, "late"), 3.0)
    stream = Stream(leader)
    hello, *messages = await stream.until(Complete)
    assert isinstance(hello, Hello)
    assert (hello.identity, hello.nodes) == ("a", 2)
    times = [m.answered_at for m in messages if isinstance(m, NodeSample)]
    assert times == [10.0 - KEPT + number for number in range(KEPT)]
    assert [m for m in messages if isinstance(m, Failed)] == [Failed("n2", "timeout", "late", 3.0)]
    await stream.close()


async def test_a_scrape_is_sent_when_it_ends():
    leader = publisher()
    stream = Stream(leader)
    await stream.until(Heartbeat)
    leader.publish("n1", sample("n1", 5.0), 5.0)
    (sent,) = await stream.until(Heartbeat)
    assert (sent.node, sent.answered_at) == ("n1", 5.0)
    await stream.close()


async def test_a_slow_follower_gets_the_newest_of_each_node_and_no_backlog():
    leader = publisher()
    stream = Stream(leader)
    await stream.until(Heartbeat)
    for at in range(1000):
        leader.publish("n1", sample("n1", float(at)), float(at))
    sent = await stream.until(Heartbeat)
    assert [m.answered_at for m in sent] == [999.0]
    await stream.close()


async def test_what_is_superseded_while_a_slow_follower_takes_a_piece_is_left_out():
    leader = publisher()
    stream = Stream(leader)
    await stream.until(Heartbeat)
    nodes = [f"n{number}" for number in range(2000)]
    for node in nodes:
        leader.publish(node, sample(node, 1.0), 1.0)
    first = await stream.until(Heartbeat)
    assert 1 < len(first) < len(nodes)
    for node in nodes:
        leader.publish(node, sample(node, 2.0), 2.0)
    rest = []
    while len(rest) < len(nodes):
        rest += await stream.until(Heartbeat)
    assert {m.node for m in rest} == set(nodes)
    assert {m.answered_at for m in rest} == {2.0}
    await stream.close()


@pytest.mark.parametrize(
    ("size", "sent"), [(LARGEST_RESULT - 200, ["n1", "n2", "n2"]), (LARGEST_RESULT, ["n1"])]
)
async def test_of_a_node_with_a_result_too_large_for_a_message_nothing_is_sent(size, sent):
    leader = publisher()
    for node in ("n1", "n2"):
        leader.publish(node, sample(node, 1.0), 1.0)
    large = sample("n2", 2.0)
    large.stats = ContainerStats("x" * size)
    leader.publish("n2", large, 2.0)
    stream = Stream(leader)
    _, *messages = await stream.until(Complete)
    assert [message.node for message in messages] == sent
    await stream.close()


async def test_a_node_that_is_gone_is_not_sent():
    leader = publisher()
    leader.publish("n1", sample("n1", 1.0), 1.0)
    leader.forget("n1")
    stream = Stream(leader)
    assert len(await stream.until(Complete)) == 1
    await stream.close()


async def test_what_is_published_during_the_snapshot_is_sent_in_order_after_what_was_kept():
    leader = publisher()
    for node in ("n1", "n2"):
        leader.publish(node, sample(node, 1.0), 1.0)
    stream = Stream(leader)
    await stream.next()  # Hello
    await stream.next()  # n1
    for node in ("n1", "n2"):
        leader.publish(node, sample(node, 2.0), 2.0)
    snapshot = await stream.until(Complete)
    after = await stream.until(Heartbeat)
    assert [m.answered_at for m in snapshot] == [1.0, 2.0]
    assert [(m.node, m.answered_at) for m in after] == [("n1", 2.0)]
    await stream.close()


async def test_a_stream_ends_when_this_replica_leads_no_longer():
    leads = [True]
    leader = publisher(lambda: leads[0])
    stream = Stream(leader)
    await stream.until(Heartbeat)
    assert leader.followers == 1
    leads[0] = False
    pieces = [piece async for piece in stream.pieces]
    assert pieces == []
    assert leader.followers == 0


def test_a_stream_need_not_wait_for_its_next_heartbeat_to_end():
    async def ended_after():
        leads = [True]
        leader = publisher(lambda: leads[0])
        stream = Stream(leader)
        await stream.until(Heartbeat)
        rest = asyncio.create_task(anext(stream.pieces, None))
        await asyncio.sleep(0.2)
        leads[0] = False
        leader.end()
        began = time.monotonic()
        assert await rest is None
        return time.monotonic() - began

    assert run_simulated(ended_after()) < HEARTBEAT / 2
