"""Headers as large as Go takes them, and memory that stays bounded whoever sends them."""

import asyncio
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.config.limits import LimitSettings
from metricsapi.server.http.reception import Reception, SharedMemory
from metricsapi.server.http.refusal import Refused
from tests.server.serving import GOOD_PATH, PATHS, configmap, serving
from tests.support.conditions import until
from tests.support.https_client import connect
from tests.support.pki import Authority

MIB = 2**20
FRONT = Authority("front-proxy-ca")
PROXY = FRONT.issue("front-proxy-client")


def head(groups, path=GOOD_PATH):
    lines = "".join(f"X-Remote-Group: {group}\r\n" for group in groups)
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Remote-User: alice\r\n{lines}".encode()


@pytest.mark.parametrize(
    "groups",
    [[f"group-{number}" for number in range(30_000)], [f"{number}" * 4000 for number in range(50)]],
    ids=["many", "long"],
)
async def test_a_user_may_have_as_many_groups_as_go_takes(groups):
    sent = head(groups) + b"\r\n"
    assert 0.19 * MIB < len(sent) < MIB
    async with serving(configmap(FRONT)) as running, connect(running.port, PROXY) as connection:
        running.reviewer.allows = lambda _: True
        await connection.send(sent)
        answer = await connection.answer()
        assert answer.status == 200
        assert json.loads(answer.body)["groups"] == [*groups, "system:authenticated"]


@pytest.mark.parametrize("value", ["y" * 1000, "y" * 60_000])
async def test_more_than_a_mebibyte_is_refused(value):
    line = f"X: {value}\r\n".encode()
    async with serving(configmap()) as running, connect(running.port) as connection:
        await connection.send(head([], PATHS[0]) + line * (1 + MIB // len(line)))
        assert (await connection.answer()).status == 431


async def test_many_large_headers_at_once_are_refused_and_small_ones_served():
    """A thousand connections with a mebibyte of tiny headers each would need ten gigabytes."""
    large = head([], PATHS[0]) + b"a:\r\n" * 60_000
    async with serving(configmap()) as running, contextlib.AsyncExitStack() as stack:
        refused = []

        async def send_and_wait():
            connection = await stack.enter_async_context(connect(running.port))
            await connection.send(large)  # and no end
            refused.append((await connection.answer()).status)

        tasks = [asyncio.create_task(send_and_wait()) for _ in range(12)]
        await until(lambda: refused)
        assert set(refused) == {429}
        async with connect(running.port) as connection:
            assert (await connection.request(PATHS[0])).status == 200
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_memory_of_headers_is_given_back_when_they_are_answered():
    large = head([], PATHS[0]) + b"a:\r\n" * 60_000 + b"\r\n"
    async with serving(configmap()) as running, connect(running.port) as connection:
        for _ in range(12):
            await connection.send(large)
            assert (await connection.answer()).status == 200


LIMITS = LimitSettings(header_bytes=MIB, header_count=10_000)
STEPS = st.lists(
    st.one_of(
        st.just(("begin",)),
        st.tuples(st.just("received"), st.integers(0, 600_000)),
        st.tuples(st.just("header"), st.integers(0, 600_000)),
        st.just(("headers_complete",)),
        st.just(("answered",)),
    ),
    max_size=30,
)


@given(st.lists(st.tuples(st.integers(0, 3), STEPS), max_size=8))
def test_whatever_connections_receive_they_never_take_more_than_there_is(connections):
    memory = SharedMemory(2 * MIB)
    receptions = [Reception(LIMITS, memory) for _ in range(4)]
    for number, steps in connections:
        reception = receptions[number]
        with contextlib.suppress(Refused):
            for step, *size in steps:
                if step == "received":
                    reception.received(*size)
                    reception.parsed()
                elif step == "header":
                    reception.header(b"x", bytes(*size))
                else:
                    getattr(reception, step)()
                assert 0 <= memory.free <= 2 * MIB
    for reception in receptions:
        reception.release()
    assert memory.free == 2 * MIB


async def test_while_a_large_head_is_parsed_others_are_served():
    """Parsing 1 MiB of tiny headers at once blocked the event loop for 0.2 s."""
    order = []

    async def noting(scope, _receive, send):
        order.append(len(scope["headers"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    large = head([], PATHS[0]) + b"a:\r\n" * 50_000 + b"\r\n"
    async with (
        serving(configmap(), app=noting) as running,
        connect(running.port) as first,
        connect(running.port) as second,
    ):
        await first.send(large)
        await second.send(head([], PATHS[0]) + b"\r\n")
        for connection in (second, first):
            assert (await connection.answer(head=True)).status == 200
    assert order == [2, 50_002]
