"""The benchmark's own arithmetic: what it reports is what it measured."""

from __future__ import annotations

import os
import time

from tests.bench.measure import percentile
from tests.bench.meter import Meter
from tests.bench.report import table


def test_a_process_is_charged_for_what_it_uses():
    meter = Meter(os.getpid())
    before, own = meter.cpu_seconds(), time.process_time()
    while time.process_time() - own < 0.2:
        pass
    spent = time.process_time() - own
    assert 0.5 * spent < meter.cpu_seconds() - before < 2 * spent
    assert meter.memory().peak >= meter.memory().resident * 0.9 > 0


def test_a_percentile_is_one_of_the_values():
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0


def test_the_table_has_ratios_where_there_is_a_peer():
    measured = {"list": {"ours": {"cpu_ms": 2.0}, "peer": {"cpu_ms": 10.0}}}
    lines = table({"servers": ["ours", "peer"], "measured": measured}).splitlines()
    assert lines[-1] == "| list: cpu, ms | 2 | 10 | 0.20 |"
    alone = table({"servers": ["ours"], "measured": {"memory": {"ours": {"resident": 512.0}}}})
    assert alone.splitlines()[-1] == "| memory: resident, MiB | 512 |"
