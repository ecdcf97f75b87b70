"""A follower believes nobody whose certificate is not of our CA, whatever the Lease says."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from metricsapi.kube.lease import Record
from metricsapi.scrape.errors import Cause, Failure
from metricsapi.server.replicas.certificate_identity import CertificateIdentity
from metricsapi.server.replicas.follower import QUICK, Follower, FollowError, address_of
from metricsapi.server.replicas.messages import Complete, Heartbeat, Hello, frame
from metricsapi.server.replicas.results import Failed, pack
from metricsapi.server.tls.context import ServingTLS
from metricsapi.server.tls.issue import make_authority, make_serving
from tests.support.conditions import until
from tests.support.samples import node_sample

NOW, DAY = time.time(), 86400.0
SERVICE = "metrics-server.kube-system.svc"
OURS, THEIRS = (make_authority(name, now=NOW, lifetime=9 * DAY) for name in ("ours", "theirs"))
OK = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@asynccontextmanager
async def leader(authority, response, name=SERVICE, then=None, delays=()):
    """Something at an address that takes a request and sends a response; gives what it was sent.

    `response` may be a function. It sends what `then()` gives after that, ten times a second. The
    first responses come `delays` seconds late.
    """
    delays = list(delays)
    received = bytearray()

    async def serve(reader, writer):
        received.extend(await reader.readuntil(b"\r\n\r\n"))
        content = response() if callable(response) else response
        await asyncio.sleep(delays.pop(0) if delays else 0.0)
        writer.write(content)
        await writer.drain()
        while then is not None and not writer.is_closing():
            await asyncio.sleep(0.1)
            writer.write(then())
        await reader.read()
        writer.close()

    pair = make_serving([name], [], now=NOW, lifetime=DAY, authority=authority)
    tls = ServingTLS(pair)
    tls.trust(OURS.certificate.decode())  # so that it would take the follower's certificate
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls.context)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", received


@asynccontextmanager
async def following(address, frozen_after_first=0.0):
    """A follower of whoever is at the address, and what it accepts.

    After the first result it stands still for `frozen_after_first` seconds, as its clock says.
    """
    accepted = []
    identity = CertificateIdentity(clock=lambda: NOW)
    identity.update([OURS], OURS)
    follower = Follower(
        leader=address if callable(address) else lambda: Record("a", address),
        accept=accepted.append,
        identity=identity.shown,
        server_name=SERVICE,
        clock=lambda: time.monotonic() + (frozen_after_first if accepted else 0.0),
        wall=time.time,
        on_end=lambda: None,
        forward=nothing,
    )
    task = asyncio.create_task(follower.run())
    try:
        yield follower, accepted
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def nothing(*_):
    """No query is forwarded."""


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream(*messages):
    return OK + b"".join(chunk(frame(message)) for message in messages)


async def test_scrapes_of_the_leader_are_taken_with_times_of_our_clock():
    theirs = time.monotonic() + 5000.0
    sample = node_sample("n1", theirs - 0.2, theirs - 0.1, [])
    failed = Failed("n2", "timeout", "late", theirs - 0.3)
    messages = (Hello("a", theirs, 1), pack(sample), pack(failed), Complete())
    async with leader(OURS, stream(*messages)) as (address, _), following(address) as (f, accepted):
        await until(f.follows, what="following")
        (node, taken, at, _), (name, failure, failed_at, _) = accepted
        assert (node, at) == ("n1", taken.answered_at)
        assert taken.answered_at - taken.requested_at == pytest.approx(0.1, abs=1e-6)
        assert abs(taken.answered_at - time.monotonic()) < 5.0
        assert (name, failure) == ("n2", Failure(Cause.TIMEOUT, "late"))
        assert at - failed_at == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize(
    ("authority", "name"), [(THEIRS, SERVICE), (OURS, "metrics-server.other.svc")],
    ids=["another CA", "another name"],
)  # fmt: skip
async def test_a_stranger_at_the_address_of_the_lease_gets_nothing_and_changes_nothing(
    authority, name
):
    response = stream(Hello("a", 1.0, 1), pack(Failed("n1", "timeout", "lie", 1.0)), Complete())
    async with (
        leader(authority, response, name) as (address, received),
        following(address) as (follower, accepted),
    ):
        await until(lambda: follower.problem, what="a problem")
        assert "certificate" in follower.problem.lower()
        assert (received, accepted, follower.follows()) == (b"", [], False)


@pytest.mark.parametrize(
    "response",
    [
        OK + chunk(b"<html>captive portal</html>"),
        OK + chunk(b"\xff" * 10),
        OK + chunk(frame(pack(node_sample("n1", 1.0, 1.1, [])))),
        b"HTTP/1.1 302 Found\r\nlocation: https://elsewhere/\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        OK + b"zz\r\n",
    ],
    ids=["HTML", "too long", "a sample before any time", "a redirect", "503", "not HTTP", "chunks"],
)
async def test_a_stream_that_is_none_is_a_problem_and_changes_nothing(response):
    async with leader(OURS, response) as (address, _), following(address) as (follower, accepted):
        await until(lambda: follower.problem, what="a problem")
        assert (accepted, follower.follows()) == ([], False)


async def test_what_was_sent_while_this_process_stood_still_is_not_taken():
    first, last = (pack(Failed(name, "timeout", "late", 0.0)) for name in ("n1", "n2"))
    buffered = stream(Hello("a", 0.0, 2), first, *[Heartbeat(0.0)] * 10_000, last)
    async with (
        leader(OURS, buffered) as (address, _),
        following(address, frozen_after_first=60.0) as (follower, accepted),
    ):
        await until(lambda: follower.problem, what="a problem")
        assert "stood still" in follower.problem
        assert {received.node for received in accepted} == {"n1"}


async def test_a_stream_whose_beginning_was_under_way_for_long_is_begun_anew():
    def response():
        theirs = time.monotonic() + 5000.0
        return stream(
            Hello("a", theirs, 1), pack(Failed("n1", "timeout", "late", theirs)), Complete()
        )

    async with (
        leader(OURS, response, delays=[2 * QUICK]) as (address, _),
        following(address) as (follower, accepted),
    ):
        await until(lambda: follower.problem, what="a problem")
        assert "too slowly" in follower.problem
        await until(follower.follows, what="following")
        (received,) = accepted
        assert abs(received.ended_at - time.monotonic()) < QUICK + 0.2


async def test_a_leader_that_always_takes_long_is_followed_in_the_end():
    def response():
        return stream(Hello("a", time.monotonic(), 0), Complete())

    async with (
        leader(OURS, response, delays=[1.5 * QUICK] * 9) as (address, _),
        following(address) as (follower, _),
    ):
        await until(follower.follows, what="following")


async def test_a_stream_that_comes_late_is_not_followed_any_longer():
    began = time.monotonic()

    def late():  # as if it had waited in buffers before a reader that is too slow
        now = time.monotonic()
        return chunk(frame(Heartbeat(now if now < began + 0.5 else now - 10.0)))

    response = stream(Hello("a", began, 0), Complete(began))
    async with (
        leader(OURS, response, then=late) as (address, _),
        following(address) as (follower, _),
    ):
        await until(follower.follows, what="following")
        assert follower.lag() < 1.0
        await until(lambda: follower.problem, what="a problem")
        assert "more than 5 s late" in follower.problem
        assert not follower.follows()


async def test_a_snapshot_without_an_end_is_waited_for_no_longer_than_a_period():
    response = stream(Hello("a", time.monotonic(), 1))

    def more():
        return chunk(frame(Heartbeat(time.monotonic())))

    async with (
        leader(OURS, response, then=more) as (address, _),
        following(address) as (follower, _),
    ):
        await until(lambda: follower.lag() < 1.0, what="messages")
        assert follower.may_soon(14.0, 15.0)
        assert not follower.may_soon(16.0, 15.0)


async def test_without_a_leader_there_is_no_problem_with_it():
    leaders = [Record(holder="somebody", address="nowhere")]
    async with following(lambda: leaders[0]) as (follower, _):
        await until(lambda: follower.problem, what="a problem")
        leaders[0] = None
        await until(lambda: not follower.problem, what="no leader")


async def test_a_silent_stream_counts_as_lost_after_some_seconds():
    response = stream(Hello("a", time.monotonic(), 0), Complete(), Heartbeat(time.monotonic()))
    async with leader(OURS, response) as (address, _), following(address) as (follower, _):
        await until(follower.follows, what="following")
        await until(lambda: follower.problem, what="a problem")
        assert not follower.follows()


@pytest.mark.parametrize(
    "address",
    ["", "host:443", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:x", "10.0.0.1:44\u0663",
     "10.0.0.1:443/path", "user@10.0.0.1:443", "[::1", "10.0.0.1:443\r\nX: y", "1" * 10000 + ":1",
     "[fe80::1%eth0]:443", "[::1%@example.com?]:443", "0.0.0.0:443", "[::]:443", "224.0.0.1:443"],
)  # fmt: skip
def test_what_is_no_ip_address_and_port_is_not_tried(address):
    with pytest.raises(FollowError, match="the Lease has no usable"):
        address_of(Record(holder="a", address=address))


@pytest.mark.parametrize("address", ["10.0.0.1:443", "[fd00::1]:4443"])
def test_addresses_of_both_families_are(address):
    assert address_of(Record(holder="a", address=address)) == address
