"""--request-timeout: how long one request may take."""

import asyncio
import json

import pytest

from metricsapi.server.auth.in_flight import InFlightLimit
from tests.server.serving import PATHS, configmap, serving
from tests.support.conditions import until
from tests.support.https_client import connect


async def never(_scope, _receive, _send):
    await asyncio.Event().wait()


async def test_a_request_that_is_not_answered_in_time_is_answered_504_and_makes_room():
    limit = InFlightLimit()
    options = {"app": never, "in_flight": limit, "request_timeout": 0.1}
    async with serving(configmap(), **options) as running, connect(running.port) as connection:
        for _ in range(2):  # the connection goes on
            answer = await connection.request(PATHS[0])
            assert answer.status == 504
            assert json.loads(answer.body) == {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": "Timeout: request did not complete within the allotted timeout",
                "reason": "Timeout",
                "details": {},
                "code": 504,
            }
            assert limit.count == 0


@pytest.mark.parametrize("timeout", ["100ms", "0.1s"])
async def test_a_request_may_ask_for_less_time(timeout):
    async with serving(configmap(), app=never) as running, connect(running.port) as connection:
        answer = await connection.request(f"{PATHS[0]}?timeout={timeout}")
        assert answer.status == 504


@pytest.mark.parametrize("timeout", ["", "0", "-1s", "1h", "soon"])
async def test_and_never_for_more(timeout):
    options = {"app": never, "request_timeout": 0.1}
    async with serving(configmap(), **options) as running, connect(running.port) as connection:
        answer = await connection.request(f"{PATHS[0]}?timeout={timeout}")
        assert answer.status == 504


async def test_an_answer_that_is_not_taken_in_time_is_cut_off(caplog):
    """A peer that takes a little now and then would otherwise be served for hours."""

    async def endless(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})

    limit = InFlightLimit()
    options = {"app": endless, "in_flight": limit, "request_timeout": 0.3}
    async with serving(configmap(), **options) as running, connect(running.port) as connection:
        await connection.send(f"GET {PATHS[0]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (await connection.reader.readline()).startswith(b"HTTP/1.1 200")
        await until(lambda: limit.count == 0, what="the end of the request")
        rest = await connection.closed()
        assert not rest.endswith(b"0\r\n\r\n")  # no client takes it for the whole
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("request took too long") == 1
    assert not any("ASGI" in message for message in messages)
