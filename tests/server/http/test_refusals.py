"""What is refused before it is served: closed within a second, with an id, a count and a line."""

import asyncio
import contextlib
import itertools
import json
import re
import time

import pytest

from metricsapi.api.status import StatusError
from metricsapi.config.limits import LimitSettings
from metricsapi.server.auth.in_flight import InFlightLimit
from metricsapi.server.http.refusal import (
    ACTIONS,
    Action,
    Answering,
    Receiving,
    Refused,
    action_for,
    headers_too_large,
)
from metricsapi.server.http.refusal_log import INTERVAL, RefusalLog
from tests.server.http.attacks import LIMITS
from tests.server.serving import PATHS, configmap, serving
from tests.support.conditions import until
from tests.support.https_client import connect

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
GET = f"GET {PATHS[0]} HTTP/1.1\r\nHost: x\r\n"
REFUSED = {
    "malformed": ("\x16\x03\x01nonsense", 400),
    "malformed, in the headers": (GET + "X : y\r\n\r\n", 400),
    "target_too_long": (f"GET /{'x' * 2000} HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "headers_too_large": (GET + f"X: {'y' * 9000}\r\n\r\n", 431),
    "body_too_large": (f"POST {PATHS[0]} HTTP/1.1\r\nHost: x\r\nContent-Length: 4096\r\n\r\n", 413),
    "too_slow": (GET, 408),
}


def limited_server(**options):
    return serving(configmap(), limits=LIMITS, **options)


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_has_an_id_a_count_and_a_line_in_the_log(name, caplog):
    caplog.set_level("INFO", logger="metricsapi")
    sent, status = REFUSED[name]
    reasons = []
    log = RefusalLog(reasons.append)
    async with limited_server(refusals=log) as running, connect(running.port) as connection:
        await connection.send(sent.encode("latin-1"))
        answer = await connection.answer()
    assert answer.status == status
    assert answer.header("connection") == "close"
    assert UUID.fullmatch(answer.header("audit-id"))
    assert json.loads(answer.body)["kind"] == "Status"
    reason = name.partition(",")[0]
    assert reasons == [reason]
    (line,) = (record.data for record in caplog.records if record.msg == "request refused")
    assert line["client"].startswith("127.0.0.1:")
    assert (line["reason"], line["code"]) == (reason, status)
    assert line["request"] == answer.header("audit-id")
    assert line["error"] == json.loads(answer.body)["message"]


async def test_a_refusal_has_the_id_that_its_caller_sent():
    async with limited_server() as running, connect(running.port) as connection:
        await connection.send(f"{GET}Audit-ID: front\r\nX: {'y' * 9000}\r\n\r\n".encode())
        assert (await connection.answer()).header("audit-id") == "front"


async def sends_nothing(_):
    await asyncio.Event().wait()


async def goes_on(connection):
    while True:
        await connection.send(b"x" * 1024)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("then", [sends_nothing, goes_on])
@pytest.mark.parametrize("name", REFUSED)
async def test_its_connection_is_gone_within_a_second_whatever_the_client_does(name, then):
    """It stayed open until the client left."""
    sent, status = REFUSED[name]
    async with limited_server() as running, connect(running.port) as connection:
        await connection.send(sent.encode("latin-1"))
        assert (await connection.answer()).status == status
        going = asyncio.create_task(then(connection))
        began = time.monotonic()
        await connection.closed()
        assert time.monotonic() - began < 5  # 1 s, and time for a busy machine
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)


async def test_a_client_that_does_not_read_its_refusal_keeps_nothing_open():
    async with limited_server() as running, connect(running.port) as connection:
        connection.writer.transport.pause_reading()
        await connection.send(REFUSED["malformed"][0].encode("latin-1"))
        await until(lambda: running.server.connections == 0)


async def test_a_refused_request_after_another_does_not_take_its_answer_away():
    release = asyncio.Event()

    async def slow(_scope, _receive, send):
        await release.wait()
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    async with limited_server(app=slow) as running, connect(running.port) as connection:
        await connection.send(f"{GET}\r\n{GET}X : y\r\n\r\n".encode())
        release.set()
        answer = await connection.answer()
        assert (answer.status, answer.body) == (200, b"ok")
        assert await connection.closed() == b""


async def test_a_body_beyond_its_limit_is_answered_in_the_place_of_the_app():
    gone = asyncio.Event()

    async def reading(_scope, receive, _send):
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    async with limited_server(app=reading) as running, connect(running.port) as connection:
        head = f"POST {PATHS[0]} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        await connection.send(f"{head}1000\r\n{'x' * 4096}\r\n".encode())
        assert (await connection.answer()).status == 413
        await gone.wait()


async def test_closed_connections_over_the_limit_are_counted(caplog):
    caplog.set_level("INFO", logger="metricsapi")
    reasons = []
    limits = LimitSettings(connections=2)
    options = {"limits": limits, "refusals": RefusalLog(reasons.append)}
    async with serving(configmap(), **options) as running, contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            last = await stack.enter_async_context(connect(running.port))
        assert (await last.request(PATHS[0])).status == 200
    assert reasons == ["too_many_connections"]
    (line,) = (record.data for record in caplog.records if record.msg == "request refused")
    assert line["flags"] == "--max-connections"


def test_lines_of_one_reason_are_far_apart_and_say_how_many_there_were_between(caplog):
    caplog.set_level("INFO", logger="metricsapi")
    now, reasons = [100.0], []
    refusals = RefusalLog(reasons.append, clock=lambda: now[0])
    for _ in range(50):
        refusals.note(headers_too_large(), ("10.0.0.1", 7))
    refusals.note(Refused("pipelined"), ("10.0.0.1", 7))
    now[0] += INTERVAL
    refusals.note(headers_too_large(), ("10.0.0.1", 7))
    assert len(reasons) == 52
    lines = [record.data for record in caplog.records]
    assert [line["reason"] for line in lines] == [
        "headers_too_large",
        "pipelined",
        "headers_too_large",
    ]
    assert "suppressed" not in lines[0]
    assert lines[2]["suppressed"] == 49
    assert lines[0]["flags"] == "--max-header-bytes, --max-header-count"


@pytest.mark.parametrize("status", [None, StatusError(400, "BadRequest", "x")])
def test_every_state_of_a_connection_has_an_action(status):
    states = set(itertools.product(Receiving, Answering))
    assert ACTIONS.keys() == states
    for receiving, answering in states:
        action = action_for(receiving, answering, Refused("malformed", status))
        if answering is Answering.SENDING:  # a second answer would be taken for the first one's
            assert action in (Action.FINISH, Action.CUT)
        if status is None:
            assert action in (Action.FINISH, Action.CUT)


async def test_requests_over_the_in_flight_limit_are_counted_and_logged(caplog):
    caplog.set_level("INFO", logger="metricsapi")
    release = asyncio.Event()

    async def slow(_scope, _receive, send):
        await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    reasons = []
    options = {"app": slow, "in_flight": InFlightLimit(1, reserve=0)}
    log = RefusalLog(reasons.append)
    async with (
        serving(configmap(), refusals=log, **options) as running,
        connect(running.port) as first,
        connect(running.port) as second,
    ):
        await first.send(f"{GET}\r\n".encode())
        await until(lambda: running.in_flight.count == 1)
        answer = await second.request(PATHS[0])
        release.set()
        assert (await first.answer(head=True)).status == 200
    assert answer.status == 429
    assert reasons == ["too_many_requests"]
    (line,) = (record.data for record in caplog.records if record.msg == "request refused")
    assert (line["flags"], line["code"]) == ("--max-requests-inflight", 429)
    assert line["request"] == answer.header("audit-id")
