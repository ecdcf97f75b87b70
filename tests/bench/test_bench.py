"""The benchmark's own arithmetic: what it reports is what it measured."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.bench.client import Answer
from tests.bench.measure import ages, percentile
from tests.bench.meter import Meter
from tests.bench.report import table

BURN = """
import time
print(flush=True)
input()
while time.process_time() < 0.4:
    pass
print(time.process_time(), flush=True)
input()
"""


def test_a_process_is_charged_for_what_it_uses():
    """A process of its own, since a meter counts descendants, too, and the tests' has some."""
    command = [sys.executable, "-c", BURN]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        meter = Meter(process.pid)
        process.stdout.readline()
        assert meter.cpu_seconds() < 0.3
        process.stdin.write("\n")
        process.stdin.flush()
        spent = float(process.stdout.readline())
        assert 0.5 * spent < meter.cpu_seconds() < 2 * spent
        assert meter.memory().peak >= meter.memory().resident * 0.9 > 0
        process.communicate("\n")


class Aging:
    """A server whose pods were read 5, 10 and 20 s before its first request."""

    name = "aging"

    def __init__(self):
        self.requests = 0
        first = datetime.now(UTC).replace(microsecond=0)
        items = [{"timestamp": (first - timedelta(seconds=age)).isoformat()} for age in (5, 10, 20)]
        self.body = msgspec.json.encode({"items": items})

    def connect(self):
        return self

    async def get(self, path, accept):
        assert (path, accept) == ("/apis/metrics.k8s.io/v1beta1/pods", "application/json")
        self.requests += 1
        return Answer(200, len(self.body), 0.0, self.body)

    async def close(self):
        pass


async def test_ages_are_measured_each_second_of_a_period():
    server = Aging()
    measured = (await ages([server], 2))["aging"]
    assert server.requests == 2
    assert measured["median_seconds"] > 10.9  # of 5, 10, 20, and 6, 11, 21 a second later
    assert measured["oldest_seconds"] - measured["median_seconds"] == pytest.approx(10)


def test_a_percentile_is_one_of_the_values():
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0


def test_the_table_has_ratios_where_there_is_a_peer():
    measured = {"list": {"ours": {"cpu_ms": 2.0}, "peer": {"cpu_ms": 10.0}}}
    lines = table({"servers": ["ours", "peer"], "measured": measured}).splitlines()
    assert lines[-1] == "| list: cpu, ms | 2 | 10 | 0.20 |"
    alone = table({"servers": ["ours"], "measured": {"memory": {"ours": {"resident": 512.0}}}})
    assert alone.splitlines()[-1] == "| memory: resident, MiB | 512 |"
