"""What followers tell the leader about queries: little, bounded, and with the right times."""

import asyncio
import contextlib
import math
import ssl
import time
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from metricsapi.api.queries import Kind, Query
from metricsapi.server.replicas.endpoint import RATE
from metricsapi.server.replicas.messages import (
    LARGEST_BODY,
    QUERIES_PATH,
    ForwardedQuery,
    Heartbeat,
    ProtocolError,
    frame,
)
from metricsapi.server.replicas.queries import MOST, OLDEST, QueryForwarder, read_queries
from tests.server.replicas.pair import SERVICE, following, identity, leading
from tests.support.conditions import until

HPA = Query("hpa", "default", "app=web", Kind.SELECTOR)
TOP = Query("admin", None, "", Kind.SINGLE, "web-1")
TEXT = st.text(max_size=50)
QUERIES = st.builds(
    Query, TEXT, st.none() | TEXT, TEXT, st.sampled_from(Kind), st.none() | TEXT
)  # fmt: skip


@asynccontextmanager
async def forwarding(respond, clock=time.monotonic):
    """A forwarder to a leader that is a function of the request."""
    forwarder = QueryForwarder(clock)
    async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as client:
        task = asyncio.create_task(forwarder.run(client, f"https://leader{QUERIES_PATH}", SERVICE))
        await asyncio.sleep(0)
        try:
            yield forwarder
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def takes(bodies):
    def respond(request):
        bodies.append(request.content)
        return httpx.Response(204)

    return respond


async def test_the_leader_learns_what_a_follower_was_asked_and_when_whatever_their_clocks():
    apart = 5000.0

    def clock():
        return time.monotonic() + apart

    async with leading() as leader, following(leader, clock=clock) as follower:
        await until(follower.follows, what="following")
        begun = time.monotonic()
        follower.forwarder.add(HPA, begun + apart - 2.0)
        follower.forwarder.add(TOP, begun + apart)
        follower.forwarder.add(HPA, begun + apart)  # the same query again
        await until(lambda: len(leader.queries) == 2, what="both queries")
        ended = time.monotonic()
        (first, at), (second, later) = leader.queries
        assert (first, second) == (HPA, TOP)
        assert begun - 2.0 <= at <= ended - 2.0
        assert later - at == pytest.approx(2.0, abs=1e-6)


async def test_neither_streams_nor_messages_count_as_requests():
    async with leading() as leader, following(leader) as follower:
        await until(follower.follows, what="following")
        follower.forwarder.add(HPA, time.monotonic())
        await until(lambda: leader.queries, what="the query")
        assert leader.telemetry.inflight == 0
    assert b"apiserver_request_total{" not in generate_latest(leader.telemetry.registry)


async def test_a_leader_that_takes_no_queries_is_followed_all_the_same(caplog):
    async with leading() as leader, following(leader) as follower:
        await until(follower.follows, what="following")
        leader.queries = None  # a fault in the leader
        follower.forwarder.add(HPA, time.monotonic())
        await until(lambda: "not forwarded" in caplog.text, what="its log line")
        assert follower.follows()


async def test_a_batch_is_bounded_and_what_does_not_fit_is_dropped():
    bodies = []
    async with forwarding(takes(bodies)) as forwarder:
        now = time.monotonic()
        forwarder.add(HPA._replace(selector="x" * 10_000), now)
        for number in range(100_000):
            forwarder.add(HPA._replace(user=f"user-{number}", selector="y" * 200), now)
        await until(lambda: bodies, what="a batch")
        queries = read_queries(bodies[0])
    assert len(bodies[0]) <= LARGEST_BODY
    assert 0 < len(queries) <= MOST
    assert {len(query.selector) for query, _ in queries} == {200}


async def test_queries_without_a_leader_are_not_sent_to_the_next_one():
    bodies = []
    now = time.monotonic()
    async with forwarding(takes([])) as forwarder:
        forwarder.add(HPA, now)
    async with httpx.AsyncClient(transport=httpx.MockTransport(takes(bodies))) as client:
        task = asyncio.create_task(forwarder.run(client, "https://other/", SERVICE))
        await asyncio.sleep(0)
        forwarder.add(TOP, now)
        await until(lambda: bodies, what="a batch")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [query for query, _ in read_queries(bodies[0])] == [TOP]


async def test_what_cannot_be_sent_is_left_out():
    bodies = []
    async with forwarding(takes(bodies), clock=lambda: 100.0) as forwarder:
        forwarder.add(HPA._replace(user="\udcff"), 100.0)  # no UTF-8
        forwarder.add(HPA._replace(user="old"), 100.0 - OLDEST - 1)
        forwarder.add(HPA._replace(user="future"), 101.0)
        forwarder.add(TOP, 99.5)
        await until(lambda: bodies, what="a batch")
    assert list(read_queries(bodies[0])) == [(TOP, 0.5)]


async def endless():
    while True:
        yield b"x"
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "respond",
    [
        lambda _: httpx.Response(503, content=endless()),
        lambda _: (_ for _ in ()).throw(httpx.ReadTimeout("late")),
    ],
    ids=["a body without an end", "a timeout"],
)
async def test_a_leader_that_does_not_take_queries_is_logged_once(respond, caplog):
    asked = []

    def counted(request):
        asked.append(request)
        return respond(request)

    async with forwarding(counted) as forwarder:
        for number in range(2):
            forwarder.add(HPA, time.monotonic())
            await until(lambda wanted=number + 1: len(asked) == wanted, what="a batch")
    assert caplog.text.count("queries not forwarded to the leader") == 1


@given(st.lists(st.tuples(QUERIES, st.floats(0, OLDEST)), max_size=20))
def test_queries_are_read_as_they_were_written(queries):
    body = b"".join(
        frame(
            ForwardedQuery(query.user, query.namespace, query.selector, query.kind, age, query.name)
        )
        for query, age in queries
    )
    assert list(read_queries(body)) == queries


@given(st.binary(max_size=300))
def test_bytes_that_are_no_queries_raise_nothing_but_a_protocol_error(data):
    with contextlib.suppress(ProtocolError):
        read_queries(data)


def asked(**changes):
    """A frame of a query with other fields."""
    fields = {"type": "ForwardedQuery", "user": "u", "namespace": None, "selector": "",
              "kind": "list", "age": 0.5}  # fmt: skip
    body = msgspec.msgpack.encode(fields | changes)
    return len(body).to_bytes(4, "big") + body


BROKEN = {
    "a negative age": asked(age=-1.0),
    "too old": asked(age=1e9),
    "no number": asked(age=math.nan),
    "another type": asked(user=5),
    "a long selector": asked(selector="x" * 5000),
    "a sample's place": frame(Heartbeat(1.0)),
    "cut off": asked()[:-1],
    "HTML": b"<html></html>",
    "too many": asked() * (MOST + 1),
    "too large": b"\0" * (LARGEST_BODY + 1),
}


async def post(leader, *bodies, context=None, address="127.0.0.1"):
    """Send messages from an address; return the last response."""
    transport = httpx.AsyncHTTPTransport(
        verify=context or identity().shown().context, trust_env=False, local_address=address
    )
    async with httpx.AsyncClient(transport=transport) as client:
        for body in bodies:
            response = await client.post(
                f"https://{leader.address}{QUERIES_PATH}",
                content=body,
                extensions={"sni_hostname": SERVICE},
            )
        return response


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_message_is_refused_and_logged_and_changes_nothing(body, caplog):
    async with leading() as leader:
        response = await post(leader, asked() + body)
        assert response.status_code in (400, 413)
        assert leader.queries == []
        assert "refused a replica" in caplog.text


async def test_fields_and_kinds_of_a_newer_version_are_skipped():
    later = msgspec.msgpack.encode({"type": "Later", "x": 1})
    body = asked(kind="watch") + len(later).to_bytes(4, "big") + later + asked(new=[1], name="p")
    async with leading() as leader:
        assert (await post(leader, body)).status_code == 204
        assert [query for query, _ in leader.queries] == [Query("u", None, "", Kind.LIST, "p")]


async def test_messages_a_second_are_bounded_for_each_follower():
    now = 1000.0
    async with leading(monotonic=lambda: now) as leader:
        assert (await post(leader, *[asked()] * int(RATE))).status_code == 204
        assert (await post(leader, asked())).status_code == 429
        assert (await post(leader, asked(), address="127.0.0.2")).status_code == 204
        now += 1.0
        assert (await post(leader, asked())).status_code == 204
        assert len(leader.queries) == RATE + 2


async def test_strangers_and_replicas_of_a_follower_get_nothing():
    async with leading() as leader:
        nobody = ssl.create_default_context()
        nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
        assert (await post(leader, asked(), context=nobody)).status_code == 401
        leader.leading = False
        assert (await post(leader, asked())).status_code == 503
        assert leader.queries == []
