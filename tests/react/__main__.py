"""`make react`: how old usage is when an HPA asks, and how soon it sees a change of the load.

NODES=100 with PODS=10 each; PHASES=1,3,10 HPAs ask for pods of each node, of GROUPS=50 groups of
nodes with HPAs of their own, since ages depend on how the phases of a node lie; STEPS=3 of the load
are seen in each case, each 50 s after the one before. The server with `--prefetch` is measured
beside itself with `--prefetch=false`, and beside a peer: PEER_BINARY is a metrics-server to start,
or PEER_PID and PEER_URL are of one that reads the cluster CLUSTER=DIR, started before with

    metricsapi sandbox --without-server --no-host --step=50 --groups=50 --nodes=… --pods=10
    --state-dir=DIR

With KUBEBUILDER_ASSETS, a folder with kube-apiserver, etcd and kube-controller-manager, the real
HPA controller is measured afterwards, with each server in a cluster of its own at the same time.
PHASES=0 measures nothing else. OUT=file.json gets all samples.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from metricsapi.tools.sandbox.embedded import Embedded
from metricsapi.tools.sandbox.size import Size
from tests.bench.cluster import (
    circumstances,
    metrics_server,
    report_progress,
    running_cluster,
    running_peers,
    server,
)
from tests.bench.measure import Server, wait_served
from tests.react.autoscaler import NAMESPACES, targets
from tests.react.controller import SPENT, Watched, measure_controller
from tests.react.measure import LEARN, Plan, measure
from tests.react.report import table
from tests.support.ports import free_port

NODES = int(os.environ.get("NODES", "100"))
PODS = int(os.environ.get("PODS", "10"))
PHASES = [int(number) for number in os.environ.get("PHASES", "1,3,10").split(",")]
STEPS = int(os.environ.get("STEPS", "3"))
GROUPS = min(NODES, int(os.environ.get("GROUPS", "50")))
RESOLUTION = 15
# Seconds: longer than a step takes to be seen, and a third of the resolution more than a multiple
# of it, so that three steps meet a schedule at three moments as far apart as can be.
STEP = 50
VARIANTS = {"prefetch": "--prefetch", "--prefetch=false": "--prefetch=false"}


def main() -> int:
    result = circumstances(NODES, PODS)
    report_progress(f"it takes about {_minutes():.0f} minutes")
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
        flags = (f"--step={STEP}", f"--groups={GROUPS}", f"--namespaces={NAMESPACES}")
        directory = stack.enter_context(running_cluster(NODES, PODS, flags))
        servers = [stack.enter_context(_server(name, directory)) for name in VARIANTS]
        servers += _peer(stack, directory)
        for each in servers:
            await wait_served(each, NODES, 60 + NODES * 0.1)
        report_progress(f"measuring {', '.join(each.name for each in servers)}")
        wanted = list(targets(NODES, PODS, GROUPS, max(PHASES)))
        return await measure(servers, Plan(wanted, NODES, PHASES, STEP, STEPS))


async def _real(assets: Path) -> dict[str, Any]:
    """Measure all servers at the same time, each in a cluster of its own: the load steps alike."""
    apps = min(max(PHASES) or 10, PODS)
    watched = Watched(list(targets(NODES, PODS, 0, apps)), NODES, STEP, STEPS)
    names = [*VARIANTS, *["peer"] * bool(os.environ.get("PEER_BINARY"))]
    starting, ended = asyncio.Lock(), asyncio.Barrier(len(names))
    async with asyncio.TaskGroup() as group:
        tasks = {
            name: group.create_task(_controlled(name, assets, watched, starting, ended))
            for name in names
        }
    measured: dict[str, Any] = {}
    for name, task in tasks.items():
        for case, numbers in task.result().items():
            measured.setdefault(case, {})[name] = numbers
    return measured


async def _controlled(
    name: str, assets: Path, watched: Watched, starting: asyncio.Lock, ended: asyncio.Barrier
) -> dict[str, Any]:
    """Measure one server in a cluster of its own; one after the other starts, all stop at last."""
    size = Size(NODES, PODS, 2, NAMESPACES, host=False, step=STEP)
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        async with starting:
            report_progress(f"the real controller with {name}")
            embedded = await stack.enter_async_context(Embedded(size, directory, 0, assets))
            running = stack.enter_context(_server(name, directory))
            await wait_served(running, NODES, 60 + NODES * 0.1)
        result = await measure_controller(assets, embedded, running, watched)
        await ended.wait()
        return result


def _minutes() -> float:
    """Return how long all of it takes; the first counted step is half a step away on average."""
    case = (LEARN + STEP / 2 + STEPS * STEP) / 60
    cases = len(PHASES) * (PHASES != [0])
    start = NODES * 0.03 / 60 + 0.5
    controller = 2 * (case + SPENT / 60) + 1.5 if os.environ.get("KUBEBUILDER_ASSETS") else 0.0
    return cases * case + start * (cases > 0) + controller


def _server(name: str, directory: Path) -> contextlib.AbstractContextManager[Server]:
    port = free_port()
    if name == "peer":
        return metrics_server(os.environ["PEER_BINARY"], directory, port, RESOLUTION)
    return server(directory, port, RESOLUTION, [VARIANTS[name]], name)


def _peer(stack: contextlib.ExitStack, directory: Path) -> list[Server]:
    """Return the peer that runs, or start that of PEER_BINARY; none if neither is set."""
    peers = running_peers(directory)
    if not peers and os.environ.get("PEER_BINARY"):
        peers = [stack.enter_context(_server("peer", directory))]
    return peers


if __name__ == "__main__":
    sys.exit(main())
