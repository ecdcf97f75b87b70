"""`make react`: how old usage is when an HPA asks, and how soon it sees a change of the load.

NODES=100 with PODS=10 each; PHASES=1,3,10 HPAs ask for pods of each node; STEPS=1 of the load are
seen in each case, each 47 s after the one before. The server with `--prefetch` is measured beside
itself with `--prefetch=false`, and beside a peer: PEER_BINARY is a metrics-server to start, or
PEER_PID and PEER_URL are of one that reads the cluster CLUSTER=DIR, started before with

    metricsapi sandbox --without-server --no-host --step=47 --groups=10 --nodes=… --pods=10
    --state-dir=DIR

With KUBEBUILDER_ASSETS, a folder with kube-apiserver, etcd and kube-controller-manager, the real
HPA controller is measured afterwards. OUT=file.json gets all samples.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from metricsapi.tools.sandbox.embedded import Embedded, Size
from tests.bench.cluster import context_of, metrics_server, sandbox, server
from tests.bench.measure import Server, wait_served
from tests.bench.meter import Meter
from tests.react.autoscaler import NAMESPACES, targets
from tests.react.controller import Watched, measure_controller
from tests.react.measure import Plan, measure
from tests.react.report import table
from tests.support.ports import free_port

NODES = int(os.environ.get("NODES", "100"))
PODS = int(os.environ.get("PODS", "10"))
PHASES = [int(number) for number in os.environ.get("PHASES", "1,3,10").split(",")]
STEPS = int(os.environ.get("STEPS", "1"))
RESOLUTION = 15
STEP = 47  # seconds: no multiple of the resolution, and longer than a step takes to be seen
GROUPS = 10  # of nodes, each with query phases of its own
VARIANTS = {"prefetch": "--prefetch", "--prefetch=false": "--prefetch=false"}


def main() -> int:
    result: dict[str, Any] = {
        "nodes": NODES,
        "pods": NODES * PODS,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    if PHASES != [0]:
        result["measured"] = asyncio.run(_simulated())
        print(table(result["measured"]), flush=True)
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        result["controller"] = asyncio.run(_real(Path(assets)))
        print(table(result["controller"]), flush=True)
    if out := os.environ.get("OUT"):
        Path(out).write_text(json.dumps(result, indent=1) + "\n")
    return 0


async def _simulated() -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        if cluster := os.environ.get("CLUSTER"):
            directory = Path(cluster)
        else:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            say(f"starting {NODES} kubelets with {PODS} pods of two containers")
            flags = (f"--step={STEP}", f"--groups={GROUPS}", f"--namespaces={NAMESPACES}")
            stack.enter_context(sandbox(directory, NODES, PODS, flags))
        servers = [stack.enter_context(_server(name, directory)) for name in VARIANTS]
        servers += _peer(stack, directory)
        for each in servers:
            await wait_served(each, NODES, 60 + NODES * 0.1)
        say(f"measuring {', '.join(each.name for each in servers)}")
        wanted = list(targets(NODES, PODS, GROUPS, max(PHASES)))
        return await measure(servers, Plan(wanted, NODES, PHASES, STEP, STEPS))


async def _real(assets: Path) -> dict[str, Any]:
    """Measure one server after the other, each in a cluster of its own."""
    apps = min(max(PHASES) or 10, PODS)
    watched = Watched(list(targets(NODES, PODS, 0, apps)), NODES, STEP, STEPS)
    size = Size(NODES, PODS, 2, NAMESPACES, host=False, step=STEP)
    measured: dict[str, Any] = {}
    for name in [*VARIANTS, *["peer"] * bool(os.environ.get("PEER_BINARY"))]:
        say(f"the real controller with {name}")
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder)
            async with Embedded(size, directory, 0, assets) as embedded:
                with _server(name, directory) as running:
                    found = await measure_controller(assets, embedded, running, watched)
        for case, numbers in found.items():
            measured.setdefault(case, {})[name] = numbers
    return measured


def _server(name: str, directory: Path) -> contextlib.AbstractContextManager[Server]:
    port = free_port()
    if name == "peer":
        return metrics_server(os.environ["PEER_BINARY"], directory, port, RESOLUTION)
    return server(directory, port, RESOLUTION, [VARIANTS[name]], name)


def _peer(stack: contextlib.ExitStack, directory: Path) -> list[Server]:
    pid, url = os.environ.get("PEER_PID"), os.environ.get("PEER_URL")
    if pid and url:
        return [Server("peer", Meter(int(pid)), url, context_of(directory))]
    if os.environ.get("PEER_BINARY"):
        return [stack.enter_context(_server("peer", directory))]
    return []


def say(text: str) -> None:
    print(f"# {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
