"""Requests in the log: an id that goes with every line, and a line each from -v=2 on."""

import io
import json
import re

import pytest

from metricsapi.telemetry import logs
from tests.server.serving import GOOD_PATH, PATHS, configmap, serving
from tests.support.https_client import connect

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def logged(monkeypatch):
    """Configure the process's log as `serve` does; return a function for its lines, read."""
    monkeypatch.setattr(logs.LOG, "level", logs.LOG.level)
    root = logs.logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    stream = io.StringIO()

    def configure(verbosity):
        logs.configure("json", verbosity, stream)
        return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]

    return configure


async def test_every_response_has_a_new_id():
    async with serving(configmap()) as running, connect(running.port) as connection:
        paths = (PATHS[0], PATHS[0], "/metrics")
        ids = [(await connection.request(path)).header("audit-id") for path in paths]
    assert all(UUID.fullmatch(each) for each in ids)
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("given", "kept"), [("from-the-front", True), ("x" * 65, False), ("two words", False)]
)
async def test_a_callers_id_is_kept_if_it_can_be(given, kept):
    async with serving(configmap()) as running, connect(running.port) as connection:
        answer = await connection.request(PATHS[0], headers={"Audit-ID": given})
        assert (answer.header("audit-id") == given) is kept


async def test_each_request_is_a_line_from_2_on(logged):
    lines = logged(2)
    async with serving(configmap()) as running, connect(running.port) as connection:
        headers = {"User-Agent": "kubectl/v1", "Audit-ID": "one"}
        await connection.request(f"{PATHS[0]}?verbose", headers=headers)
        await connection.request(GOOD_PATH, headers={"Audit-ID": "two"})
    first, second = (line for line in lines() if line["msg"] == "request")
    assert first["client"].startswith("127.0.0.1:")
    assert 0 <= first["seconds"] < 10
    logged = {key: first[key] for key in ("user", "method", "path", "agent", "code", "request")}
    assert logged == {
        "user": "system:anonymous",
        "method": "GET",
        "path": f"{PATHS[0]}?verbose",
        "agent": "kubectl/v1",
        "code": 200,
        "request": "one",
    }
    assert (second["code"], second["user"], second["request"]) == (403, None, "two")


async def test_what_is_logged_of_a_request_carries_its_id_and_nothing_else_does(logged):
    lines = logged(0)

    async def broken(_scope, _receive, _send):
        raise RuntimeError("a fault of ours")

    async with serving(configmap(), app=broken) as running, connect(running.port) as connection:
        port = running.port
        failed = await connection.request(PATHS[0], headers={"Audit-ID": "one"})
        bad = {"Authorization": "Bearer unknown", "Audit-ID": "two"}
        assert (await connection.request(GOOD_PATH, headers=bad)).status == 401
    assert (failed.status, failed.header("audit-id")) == (500, "one")
    message = json.loads(failed.body)["message"]
    assert message == "Internal error occurred: see the server's log for request one"
    by_message = {line["msg"]: line for line in lines()}
    assert by_message["request failed"]["request"] == "one"
    assert "a fault of ours" in by_message["request failed"]["traceback"]
    assert by_message["unauthorized"]["request"] == "two"
    assert not any("request" in line for name, line in by_message.items() if "listening" in name)
    assert set(by_message) == {
        "request failed",
        "unauthorized",
        f"listening on 127.0.0.1 port {port}",
    }
