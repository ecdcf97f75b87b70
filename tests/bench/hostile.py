"""`make bench-hostile`: latency and memory while kubelets send the largest responses allowed.

Of NODES=100 kubelets, HOSTILE=10 send 8 MiB each period. HPA queries go on all the time, SECONDS=60
before and as long meanwhile; their latency and the server's memory are compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.cases import query
from tests.bench.client import PROTOBUF
from tests.bench.cluster import report_progress, running_cluster, server
from tests.bench.measure import Server, percentile, wait_served
from tests.support.ports import free_port

NODES = int(os.environ.get("NODES", "100"))
HOSTILE = int(os.environ.get("HOSTILE", "10"))
SECONDS = float(os.environ.get("SECONDS_MEASURED", "60"))
PODS, RESOLUTION = 30, 15
WARM = 5  # periods before the first measurement
P99, GROWTH = 25.0, 50.0  # the goal: milliseconds and MiB


def main() -> int:
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(running_cluster(NODES, PODS))
        ours = stack.enter_context(server(directory, free_port(), RESOLUTION))
        return asyncio.run(compare(ours, directory))


async def compare(ours: Server, directory: Path) -> int:
    await wait_served(ours, NODES, 60)
    await asyncio.sleep(WARM * RESOLUTION)
    before = await measure(ours, "all kubelets are honest")
    for i in range(HOSTILE):
        annotate(directory, f"node-{i}", "huge")
    await asyncio.sleep(2 * RESOLUTION)
    after = await measure(ours, f"{HOSTILE} kubelets send 8 MiB each")
    growth = after["MiB"] - before["MiB"]
    good = after["p99"] < P99 and growth <= GROWTH
    report_progress(f"p99 {after['p99']:.1f} ms (goal: below {P99:g})")
    report_progress(f"memory {growth:+.1f} MiB (goal: at most {GROWTH:g} more)")
    return 0 if good else 1


async def measure(ours: Server, what: str) -> dict[str, float]:
    """Send HPA queries for `SECONDS`; return latencies in ms, millicores and peak memory in MiB."""
    connection, path = ours.connect(), query(100)
    times, resident = [], 0.0
    cpu, began = ours.meter.cpu_seconds(), time.monotonic()
    while time.monotonic() - began < SECONDS:
        response = await connection.get(path, PROTOBUF)
        if response.status != 200:
            raise RuntimeError(f"{response.status} {response.body[:300]!r}")
        times.append(response.seconds * 1000)
        resident = max(resident, ours.meter.memory().resident / 2**20)
        await asyncio.sleep(0.02)
    cores = (ours.meter.cpu_seconds() - cpu) / (time.monotonic() - began)
    await connection.close()
    result = {
        "p50": percentile(times, 0.5),
        "p99": percentile(times, 0.99),
        "most": max(times),
        "millicores": cores * 1000,
        "MiB": resident,
    }
    numbers = ", ".join(f"{name} {value:.1f}" for name, value in result.items())
    report_progress(f"{what}: {len(times)} queries, {numbers}")
    return result


def annotate(directory: Path, node: str, fault: str) -> None:
    command = [
        *("kubectl", f"--kubeconfig={directory / 'kubeconfig'}", "annotate"),
        *("node", node, f"sandbox/fault={fault}", "--overwrite"),
    ]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
