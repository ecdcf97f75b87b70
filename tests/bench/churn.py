"""Memory, age of usage and latency while pods and nodes come and go.

    python -m tests.bench.churn

NODES=5000 with PODS=30, of which CHURN_PODS=100 are replaced each second and CHURN_NODES=10 nodes
each minute, for MINUTES=10 after a warm-up of 7 periods; 0 of both for what it is without churn.
A line for each minute, and the pods that are served and that the API server has at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time

from tests.bench.cases import query
from tests.bench.cluster import FLAGS, running_cluster, server
from tests.bench.measure import Server, ages, memory, stalls
from tests.bench.steadiness import queries, start
from tests.support.ports import free_port

NODES, PODS, CHURN_PODS, CHURN_NODES, MINUTES = (
    int(os.environ.get(name, default))
    for name, default in (
        ("NODES", "5000"),
        ("PODS", "30"),
        ("CHURN_PODS", "100"),
        ("CHURN_NODES", "10"),
        ("MINUTES", "10"),
    )
)
RESOLUTION = 15
WARM = 7  # periods


def main() -> int:
    flags = (*FLAGS, f"--churn-pods={CHURN_PODS}", f"--churn-nodes={CHURN_NODES}")
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(running_cluster(NODES, PODS, flags))
        ours = stack.enter_context(server(directory, free_port(), RESOLUTION))
        asyncio.run(measure(ours))
    return 0


async def measure(ours: Server) -> None:
    await start(ours, NODES - CHURN_NODES)
    await asyncio.sleep(WARM * RESOLUTION)
    row(
        "minute",
        "CPU, millicores",
        "resident, MiB",
        "HPA query p99, ms",
        "age, median, s",
        "oldest",
    )
    row("--:", "--:", "--:", "--:", "--:", "--:")
    before = await stalls(ours)
    for minute in range(1, MINUTES + 1):
        began, cpu = time.monotonic(), ours.meter.cpu_seconds()
        latency = await queries(ours, query(100), 30)
        cores = (ours.meter.cpu_seconds() - cpu) / (time.monotonic() - began)
        age = (await ages([ours], RESOLUTION))[ours.name]
        row(
            f"{minute}",
            f"{cores * 1000:.0f}",
            f"{memory(ours)['resident']:.0f}",
            f"{latency['p99_ms']:.1f}",
            f"{age['median_seconds']:.1f}",
            f"{age['oldest_seconds']:.1f}",
        )
        await asyncio.sleep(max(0.0, began + 60 - time.monotonic()))
    late = {name: count - before[name] for name, count in (await stalls(ours)).items()}
    nodes, pods = await ours.served("nodes"), await ours.served("pods")
    row("served", f"{nodes} nodes of {NODES}", f"{pods} pods of {NODES * PODS}", f"late: {late}")


def row(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
