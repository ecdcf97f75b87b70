"""What the process watches of itself: event loop, periodic tasks, the minute's summary."""

import asyncio
import io
import json
import logging
import time

import pytest
from prometheus_client import CollectorRegistry

from metricsapi.server.operator.summary import Totals, log_summaries, pointing, remarks
from metricsapi.server.operator.watchdog import EventLoopMonitor, Watchdog
from metricsapi.telemetry import logs
from metricsapi.telemetry.metrics import Telemetry
from metricsapi.telemetry.node_status import NodeStatus
from tests.server.operator.rows import counted, failing, good, mixed
from tests.support.conditions import until


def test_a_watchdog_fails_only_after_its_task_missed_many_cycles():
    now = [100.0]
    watchdog = Watchdog("the task", 15.0, lambda: now[0])
    now[0] += 150
    assert watchdog.problem() is None
    now[0] += 1
    assert watchdog.problem() == "the task has made no progress for 151 s"
    watchdog.progress()
    assert watchdog.problem() is None


async def test_a_blocked_event_loop_is_measured():
    telemetry = Telemetry(CollectorRegistry(), resolution=15.0, version="1")
    monitor = EventLoopMonitor(telemetry.loop_lag, time.monotonic, interval=1.0)
    task = asyncio.create_task(monitor.run())
    await asyncio.sleep(0)
    time.sleep(1.5)  # what must never happen  # noqa: ASYNC251
    counts = telemetry.loop_lag.of()
    await until(lambda: counts.total)
    task.cancel()
    assert counts.total >= 0.25
    assert monitor.take_longest() >= 0.25
    assert monitor.take_longest() == 0.0


async def test_one_summary_line_per_interval():
    stream = io.StringIO()
    logs.configure("json", 0, stream)
    watchdog = Watchdog("x", 1.0, time.monotonic)
    task = asyncio.create_task(
        log_summaries(watchdog, lambda: counted(mixed(10)), lambda: {"requests": 7}, interval=0.01)
    )
    await until(lambda: stream.getvalue().count("\n") >= 2)
    task.cancel()
    line = json.loads(stream.getvalue().splitlines()[0])
    assert (line["msg"], line["nodes"], line["failing"]) == ("summary", 10, 3)
    assert line["causes"] == {"refused": 2, "certificate_self_signed": 1}
    assert line["requests"] == 7
    logging.getLogger().handlers.clear()


def test_a_ready_server_without_usage_says_so():
    bad = [failing("a", "refused", "x"), failing("b", "refused", "x")]
    none, some = counted(bad), counted([*bad, good("c")])
    assert remarks({}) == ["there are no nodes to read"]
    assert remarks(none) == ["none of 2 nodes could be read"]
    assert remarks(some) == ["2 of 3 nodes could not be read"]
    assert pointing(remarks(none)) == ["none of 2 nodes could be read; /statusz says why"]
    assert pointing(remarks({})) == ["there are no nodes to read"]
    assert remarks(counted([good("c")])) == []
    waiting = counted([good("c"), NodeStatus(name="d", state="pending")])
    assert remarks(waiting) == ["1 of 2 nodes have not answered yet"]


def test_a_summary_has_the_numbers_of_its_minute_not_of_the_whole_time():
    telemetry = Telemetry(CollectorRegistry(), resolution=15.0, version="1")
    target = ("LIST", "metrics.k8s.io", "v1beta1", "pods", "", "cluster")
    telemetry.request(target, 200, 0.01)
    totals = Totals(telemetry.totals)
    for code in (200, 404):
        telemetry.request(target, code, 0.01)
    telemetry.kubelet_request("a", 0.1, success=True, at=0.0)
    telemetry.kubelet_request("b", 0.1, success=False, at=0.0)
    telemetry.scrape_failures.labels("refused").inc()
    assert totals.growth() == {"requests": 2, "scrapes": 2, "scrape_failures": 1}
    telemetry.forget_node("a")
    assert totals.growth() == {"requests": 0, "scrapes": 0, "scrape_failures": 0}


async def test_a_summary_that_fails_each_time_is_not_stuck():
    """Liveness had failed after ten minutes of it, and a restart would have mended nothing."""
    now = [0.0]
    watchdog = Watchdog("the summary", 1.0, lambda: now[0])

    def broken():
        raise ValueError("broken")

    now[0] = 100.0
    assert watchdog.problem()
    with pytest.raises(ValueError, match="broken"):
        await log_summaries(watchdog, lambda: counted([]), broken, interval=0.0)
    assert watchdog.problem() is None
