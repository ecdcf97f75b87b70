"""`make bench`: what the server costs, by /proc, beside a peer where one is given.

NODES=100, PODS=30 a node; SECONDS of scraping are measured; after MEMORY_AFTER seconds memory is.
With PEER_PID and PEER_URL a peer is measured in the same run. It must read the same cluster: run
`metricsapi sandbox --without-server --no-host --changing --namespaces=2 --workloads=1,100,1000
--kubelet-latency=100 --nodes=… --pods=30 --state-dir=DIR`, start the peer with
DIR/server.kubeconfig, and set CLUSTER=DIR.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.cases import cases, query
from tests.bench.cluster import (
    circumstances,
    report_progress,
    running_cluster,
    running_peers,
    server,
)
from tests.bench.measure import (
    Server,
    ages,
    capacity,
    memory,
    reading,
    scraping,
    stalls,
    under_load,
)
from tests.bench.report import table
from tests.bench.steadiness import periods, queries, start
from tests.support.ports import free_port

NODES = int(os.environ.get("NODES", "100"))
PODS = int(os.environ.get("PODS", "30"))
SECONDS = float(os.environ.get("SECONDS_MEASURED", "120"))
MEMORY_AFTER = float(os.environ.get("MEMORY_AFTER", "300"))
RESOLUTION = 15
SCRAPES = 4  # of each node, between which the time is measured
# Periods until a node's clock is known so well that each later scrape does the same work.
WARM = int(os.environ.get("WARM", "7"))
HPA = query(1000)


def main() -> int:
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(running_cluster(NODES, PODS))
        ours = stack.enter_context(server(directory, free_port(), RESOLUTION))
        servers = [ours, *running_peers(directory)]
        measured = asyncio.run(measure(servers))
    result = {
        **circumstances(NODES, PODS),
        "servers": [each.name for each in servers],
        "measured": measured,
    }
    if out := os.environ.get("OUT"):
        Path(out).write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))
    return 0


async def measure(servers: list[Server]) -> dict[str, Any]:
    """Return the numbers by measurement, server and name."""
    began = time.monotonic()
    ours = servers[0]
    result: dict[str, Any] = {}
    report_progress("waiting for first usage")
    result["start to first usage of every node"] = {ours.name: await start(ours, NODES)}
    lags = await stalls(ours)
    await asyncio.sleep(WARM * RESOLUTION)
    report_progress(f"scraping alone, {SECONDS:g} s")
    result["scraping alone"] = idle = await scraping(servers, NODES, RESOLUTION, SECONDS)
    for case in cases(NODES):
        report_progress(case.name)
        result[case.name] = {
            each.name: await reading(each, case, idle[each.name]["millicores"] / 1000)
            for each in servers
        }
    report_progress("how many HPA queries a core serves")
    result["HPA queries"] = {each.name: await capacity(each, HPA, 5.0) for each in servers}
    report_progress("HPA queries while full lists run")
    result["while full lists run"] = {
        each.name: await under_load(each, HPA, 20.0) for each in servers
    }
    result["HPA query, 100 matches, while nodes are scraped"] = {
        each.name: await queries(each, query(100), RESOLUTION) for each in servers
    }
    result["HPA query, 100 matches, while full lists run"] = {
        each.name: await under_load(each, query(100), RESOLUTION) for each in servers
    }
    report_progress("how far apart scrapes are")
    result["scrapes of a node"] = {ours.name: await periods(ours, NODES, RESOLUTION, SCRAPES)}
    rest = MEMORY_AFTER - (time.monotonic() - began)
    report_progress(f"memory, in {max(0.0, rest):.0f} s")
    await asyncio.sleep(max(0.0, rest))
    result["memory"] = {each.name: memory(each) for each in servers}
    result["event loop, after the start"] = {
        ours.name: {name: count - lags[name] for name, count in (await stalls(ours)).items()}
    }
    report_progress(f"age of usage, {RESOLUTION} s")
    result["age of container usage when read"] = await ages(servers, RESOLUTION)
    return result


if __name__ == "__main__":
    sys.exit(main())
