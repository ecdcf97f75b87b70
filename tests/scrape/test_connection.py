"""What comes back over one connection: whole answers, broken ones, and none."""

import asyncio
import contextlib
import os
import ssl
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricsapi.scrape.connection import Connection, Shared
from metricsapi.scrape.errors import Cause, ScrapeError
from metricsapi.scrape.targets import Target
from tests.support.conditions import until
from tests.support.kubelet import CLUSTER, Kubelet, Reader, http, is_sample, summary
from tests.support.pki import SERVER, server_context
from tests.support.serving_tasks import ServingTasks

LARGE = summary("n1", pods=400)  # more than 100 KiB, so several TLS records


@pytest.mark.parametrize("chunks", [0, 1, 7, 500])
async def test_an_answer_of_many_records_comes_whole(chunks):
    async with Kubelet(lambda _: http(LARGE, chunks=chunks)) as kubelet, Reader(kubelet) as read:
        for _ in range(3):
            assert len((await read()).pods) == 400
        assert kubelet.connections == 1


async def test_only_what_is_used_is_asked_for():
    async with Kubelet() as kubelet, Reader(kubelet) as read:
        await read()
        request = kubelet.requests[0]
        assert request.line == "GET /stats/summary?only_cpu_and_memory=true HTTP/1.1"
        assert request.headers == {
            "host": f"127.0.0.1:{kubelet.port}",
            "user-agent": "metricsapi",
            "accept": "application/json",
            "authorization": "Bearer token",
        }


async def test_the_times_of_an_exchange_hold_the_kubelets_reading():
    """Not the connecting before, nor the rest of the body after its first byte."""
    read_at = []

    async def answer(_, writer):
        await asyncio.sleep(0.05)
        read_at.append(time.monotonic())
        body = http(summary("n1"))
        writer.write(body[:10])
        await asyncio.sleep(0.2)
        writer.write(body[10:])

    async with Kubelet(answer) as kubelet, Reader(kubelet) as read:
        begun = time.monotonic()
        sample = await read()
        assert begun < sample.requested_at < read_at[0] - 0.04 < sample.answered_at
        assert sample.answered_at < time.monotonic() - 0.15


async def test_a_connection_closed_while_idle_is_nobodys_failure():
    """A node that failed last time gets one try only; this is not counted as one."""
    async with Kubelet() as kubelet, Reader(kubelet) as read:
        assert is_sample(await read())
        kubelet.hang_up()
        assert is_sample(await read())
        assert len(kubelet.requests) == 2


async def test_an_answer_that_says_close_is_taken_and_the_next_connection_is_new():
    def answer(_):
        return http(summary("n1"), headers=["Connection: close"])

    async with Kubelet(answer) as kubelet, Reader(kubelet) as read:
        assert is_sample(await read())
        assert is_sample(await read())
        assert kubelet.connections == 2


async def test_an_answer_counts_whatever_comes_behind_it():
    """A record that TLS cannot read, in the same packet."""

    async def answer(_, writer):
        writer.write(http(summary("n1")))
        os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))

    async with Kubelet(answer) as kubelet, Reader(kubelet) as read:
        assert is_sample(await read())
        assert is_sample(await read())
        assert kubelet.connections == 2


def half(_):
    return http(summary("n1"))[:200]


async def stall(_, writer):
    writer.write(http(summary("n1"))[:200])
    await asyncio.sleep(60)


async def hang(_, writer):
    await asyncio.sleep(60)


async def truncate(_, writer):
    writer.write(half(_))
    await writer.drain()
    writer.close()


async def endless_head(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()
        await asyncio.sleep(0)  # `drain` alone may never let the loop run


async def endless_body(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)  # `drain` alone may never let the loop run


async def reset(_, writer):
    writer.transport.abort()


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (hang, Cause.TIMEOUT),
        (stall, Cause.TIMEOUT),
        (truncate, Cause.TRUNCATED),
        (reset, Cause.RESET),
        (endless_head, Cause.TOO_LARGE),
        (endless_body, Cause.TOO_LARGE),
        (lambda _: http(b"x" * 2**20), Cause.TOO_LARGE),
        (lambda _: b"\x00\x01\x02 what is this\r\n\r\n", Cause.NOT_HTTP),
        (lambda _: http(b"{"), Cause.DECODE),
        (lambda _: http(b"\xff\xfe garbage"), Cause.DECODE),
        (lambda _: http(summary("another")), Cause.DECODE),
        (lambda _: http(b"try later", 503), Cause.STATUS),
        (lambda _: http(b"", 101, headers=["Connection: upgrade", "Upgrade: x"]), Cause.STATUS),
    ],
)
async def test_a_broken_answer_is_a_failure_and_the_next_good_one_a_sample(answer, cause):
    seconds = 1.0 if cause is Cause.TIMEOUT else 10.0
    async with (
        Kubelet(answer) as kubelet,
        Reader(kubelet, seconds=seconds, max_response_bytes=2**19) as read,
    ):
        failure = await read()
        assert failure.cause is cause, failure
        assert failure.message.startswith(("127.0.0.1:", "node n1"))
        kubelet.answer = lambda _: http(summary("n1"))
        assert is_sample(await read())


async def test_a_node_that_was_well_is_tried_twice_and_one_that_failed_once():
    answers = [None, http(summary("n1")), None, None, None, http(summary("n1"))]
    async with Kubelet(lambda _: answers.pop(0)) as kubelet, Reader(kubelet) as read:
        assert is_sample(await read())
        assert (await read()).cause is Cause.RESET
        assert len(kubelet.requests) == 5  # the kept connection's end is not counted as a try
        assert is_sample(await read())


async def test_a_node_that_another_replica_scrapes_by_then_is_not_tried_twice():
    options = {"decoders": {"may_repeat": lambda: False}}
    async with Kubelet(lambda _: None) as kubelet, Reader(kubelet, **options) as read:
        assert (await read()).cause is Cause.RESET
        assert len(kubelet.requests) == 1


async def test_a_refused_connection_is_named():
    async with Kubelet() as kubelet:
        port = kubelet.port
    async with Reader(kubelet, port=port) as read:
        failure = await read()
        assert failure.cause is Cause.REFUSED
        assert f"127.0.0.1:{port} refused" in failure.message


async def test_a_403_names_the_rule_that_is_missing():
    body = b"Forbidden (user=system:anonymous, verb=get, resource=nodes, subresource=stats)"
    async with (
        Kubelet(lambda _: http(body, 403)) as kubelet,
        Reader(kubelet, endpoint="summary") as read,
    ):
        failure = await read()
        assert failure.cause is Cause.FORBIDDEN
        assert "user=system:anonymous" in failure.message
        assert 'resources: ["nodes/stats"], verbs: ["get"]' in failure.message
        assert len(kubelet.requests) == 1  # a right is not granted by asking twice


async def test_bytes_that_nobody_asked_for_close_the_connection():
    async def answer(_, writer):
        writer.write(http(summary("n1")) * 2)

    async with Kubelet(answer) as kubelet, Reader(kubelet) as read:
        assert is_sample(await read())
        await until(lambda: not kubelet.open)
        assert is_sample(await read())


CLOSE_NOTIFY = "close_notify"


@pytest.mark.parametrize(
    "record", [b"\x17\x03\x03\x00\x01x", b"\x14\x03\x03\x00\x01\x01", CLOSE_NOTIFY]
)
async def test_records_without_end_between_two_scrapes_close_the_connection(record):
    """One kubelet had kept the event loop reading, and all other nodes waiting."""
    flooding, ended = asyncio.Event(), asyncio.Event()
    context = server_context(CLUSTER.issue("n1", usages=(SERVER,), names=["127.0.0.1"]))

    async def serve(reader, writer):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)

        async def step(action, *args):
            while True:
                try:
                    result = action(*args)
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(65536))
                else:
                    writer.write(outgoing.read())
                    return result

        await step(tls.do_handshake)
        await step(tls.read, 65536)
        await step(tls.write, http(summary("n1")))
        if record == CLOSE_NOTIFY:
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.unwrap()
            writer.write(outgoing.read())
        flood = record if record != CLOSE_NOTIFY else b"\x17\x03\x03\x00\x01x"
        with contextlib.suppress(ConnectionError):
            while not ended.is_set():
                writer.write(flood * 10_000)
                await writer.drain()
                flooding.set()
                await asyncio.sleep(0)
        ended.set()
        writer.close()

    tasks = ServingTasks(serve)
    server = await asyncio.start_server(tasks, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    target = Target("n1", ("127.0.0.1",), port)
    async with Reader(Kubelet(), port=port, target=target, endpoint="summary") as read:
        assert is_sample(await read())
        await flooding.wait()
        await asyncio.wait_for(ended.wait(), 10)
    await tasks.end(server)


async def test_a_cancelled_read_closes_its_connection():
    async with Kubelet(hang) as kubelet, Reader(kubelet) as read:
        task = asyncio.create_task(read())
        await until(lambda: kubelet.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: all(writer.transport.is_closing() for writer in kubelet.open))


async def test_records_that_cannot_be_decrypted_cost_no_other_node():
    """Connections share what TLS takes records from."""
    record = b"\x17\x03\x03\x00\x20" + bytes(32)

    async def answer(_, writer):
        os.write(writer.get_extra_info("socket").fileno(), 3 * record)
        await asyncio.sleep(60)

    async with Kubelet(answer) as broken, Kubelet(node="n2") as good, Reader(broken) as read:
        other = Target("n2", ("127.0.0.1",), good.port)
        assert is_sample(await read.client.scrape(other, time.monotonic() + 5))
        assert not is_sample(await read())
        assert is_sample(await read.client.scrape(other, time.monotonic() + 5))
        assert good.connections == 1


class Transport:
    """Takes what is written and gives nothing."""

    def write(self, data):
        pass

    def abort(self):
        pass


@given(
    st.binary(max_size=300),
    st.integers(0, 5),
    st.lists(st.integers(1, 400), max_size=20),
)
@settings(max_examples=200, deadline=None)
def test_an_answer_may_come_in_any_pieces(body, chunks, cuts):
    async def exchange():
        shared = Shared(2**20)
        connection = Connection("k", shared)
        connection.connection_made(Transport())
        getting = asyncio.ensure_future(connection.get(b"GET", time.monotonic() + 5))
        await asyncio.sleep(0)
        rest = http(body, chunks=chunks if body else 0)
        for cut in [*cuts, 2**20]:
            piece, rest = rest[:cut], rest[cut:]
            if not piece:
                break
            shared.received[: len(piece)] = piece
            connection.buffer_updated(len(piece))
        return await getting

    assert asyncio.run(exchange()).body == body


@given(st.binary(min_size=1, max_size=500))
@settings(max_examples=200, deadline=None)
def test_no_bytes_at_all_escape_as_another_error(garbage):
    async def exchange():
        shared = Shared(2**20)
        connection = Connection("k", shared)
        connection.connection_made(Transport())
        getting = asyncio.ensure_future(connection.get(b"GET", time.monotonic() + 5))
        await asyncio.sleep(0)
        shared.received[: len(garbage)] = garbage
        connection.buffer_updated(len(garbage))
        connection.connection_lost(None)
        return await getting

    with pytest.raises(ScrapeError):
        asyncio.run(exchange())
