"""`make bench`: what the server costs, by /proc, beside a peer where one is given.

NODES=100, PODS=30 a node; SECONDS of scraping are measured; after MEMORY_AFTER seconds memory is.
With PEER_PID and PEER_URL a peer is measured in the same run. It must read the same cluster: run
`metricsapi sandbox --without-server --no-host --changing --namespaces=2 --workloads=1,100,1000
--kubelet-latency=100 --nodes=… --pods=30 --state-dir=DIR`, start the peer with
DIR/server.kubeconfig, tell CLUSTER=DIR.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.cases import cases, query
from tests.bench.cluster import context_of, sandbox, server
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
from tests.bench.meter import Meter
from tests.bench.report import table
from tests.bench.steadiness import periods, queries, start
from tests.support.ports import free_port

NODES = int(os.environ.get("NODES", "100"))
PODS = int(os.environ.get("PODS", "30"))
SECONDS = float(os.environ.get("SECONDS_MEASURED", "120"))
MEMORY_AFTER = float(os.environ.get("MEMORY_AFTER", "300"))
RESOLUTION = 15
SCRAPES = 4  # of each node, of which it is measured how far apart they are
WARM = int(
    os.environ.get("WARM", "7")
)  # periods until a node's clock is known well enough for what every later read does
HPA = query(1000)


def main() -> int:
    with contextlib.ExitStack() as stack:
        if cluster := os.environ.get("CLUSTER"):
            directory = Path(cluster)
        else:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            say(f"starting {NODES} kubelets with {PODS} pods of two containers")
            stack.enter_context(sandbox(directory, NODES, PODS))
        ours = stack.enter_context(server(directory, free_port(), RESOLUTION))
        servers = [ours, *_peer(directory)]
        measured = asyncio.run(measure(servers))
    result = {
        "nodes": NODES,
        "pods": NODES * PODS,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "servers": [each.name for each in servers],
        "measured": measured,
    }
    if out := os.environ.get("OUT"):
        Path(out).write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))
    return 0


def _peer(directory: Path) -> list[Server]:
    pid, url = os.environ.get("PEER_PID"), os.environ.get("PEER_URL")
    if not pid or not url:
        return []
    return [Server("peer", Meter(int(pid)), url, context_of(directory))]


async def measure(servers: list[Server]) -> dict[str, Any]:
    """Return the numbers by what, by server, by name."""
    began = time.monotonic()
    ours = servers[0]
    found: dict[str, Any] = {}
    say("waiting for first usage")
    found["start to first usage of every node"] = {ours.name: await start(ours, NODES)}
    lags = await stalls(ours)
    await asyncio.sleep(WARM * RESOLUTION)
    say(f"scraping alone, {SECONDS:g} s")
    found["scraping alone"] = idle = await scraping(servers, NODES, RESOLUTION, SECONDS)
    for case in cases(NODES):
        say(case.name)
        found[case.name] = {
            each.name: await reading(each, case, idle[each.name]["millicores"] / 1000)
            for each in servers
        }
    say("how many HPA queries a core serves")
    found["HPA queries"] = {each.name: await capacity(each, HPA, 5.0) for each in servers}
    say("HPA queries while full lists run")
    found["while full lists run"] = {
        each.name: await under_load(each, HPA, 20.0) for each in servers
    }
    found["HPA query, 100 matches, while nodes are scraped"] = {
        each.name: await queries(each, query(100), RESOLUTION) for each in servers
    }
    found["HPA query, 100 matches, while full lists run"] = {
        each.name: await under_load(each, query(100), RESOLUTION) for each in servers
    }
    say("how far apart scrapes are")
    found["scrapes of a node"] = {ours.name: await periods(ours, NODES, RESOLUTION, SCRAPES)}
    rest = MEMORY_AFTER - (time.monotonic() - began)
    say(f"memory, in {max(0.0, rest):.0f} s")
    await asyncio.sleep(max(0.0, rest))
    found["memory"] = {each.name: memory(each) for each in servers}
    found["event loop, after the start"] = {
        ours.name: {name: count - lags[name] for name, count in (await stalls(ours)).items()}
    }
    say(f"age of usage, {RESOLUTION} s")
    found["age of container usage when read"] = await ages(servers, RESOLUTION)
    return found


def say(text: str) -> None:
    print(f"# {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
