"""What two replicas that share their scrapes cost beside one that scrapes alone, by /proc.

All three run at once, over the same kubelets: a single server, a leader, and its follower. The cost
of a follower depends on queries, so each is measured three times: without any, with a full list of
each server once a period, and with as many lists of both replicas together as of the single server.
"""

import asyncio
import itertools
import tempfile
import time
from pathlib import Path

from tests.bench.meter import Meter
from tests.ha.cluster import HighAvailability

GOAL = 1.5  # CPU of the two replicas together, as a multiple of a single server's
WARM = 6  # periods until a node's clock is known well enough for what every later read does
MIB = 2**20


async def measure(options):
    """Return CPU (millicores) and resident memory (bytes) by server, for each kind of load."""
    with tempfile.TemporaryDirectory() as directory:
        async with HighAvailability(
            Path(directory), nodes=options.nodes, pods=options.pods, period=options.resolution
        ) as cluster:
            single = await cluster.start(flags=("--leader-elect=false",))
            single.up = False  # it takes no part in the election
            for _ in range(2):
                await cluster.start()
            await cluster.settle()
            servers = {
                "single": single,
                "leader": cluster.leader,
                "follower": cluster.follower,
            }
            meters = {name: Meter(member.process.pid) for name, member in servers.items()}
            cluster.installation.probe_period = 5.0  # as Kubernetes probes, and no more
            await asyncio.sleep(WARM * options.resolution)
            measured = {"no queries": await _spent(meters, asyncio.sleep(options.seconds))}
            leader, follower = servers["leader"], servers["follower"]
            await _query(cluster, [[follower]], options.resolution, 0.0)  # for what has waited
            loads = {
                "each server lists all pods once a period": [[single, leader, follower]],
                "the single server and one of the two do": [[single, leader], [single, follower]],
            }
            for name, rounds in loads.items():
                querying = _query(cluster, rounds, options.resolution, options.seconds)
                measured[name] = await _spent(meters, querying)
            return measured


async def _spent(meters, work):
    """Return what each server spends while something is done."""
    began = time.monotonic()
    before = {name: meter.cpu_seconds() for name, meter in meters.items()}
    await work
    spent = time.monotonic() - began
    return {
        name: ((meter.cpu_seconds() - before[name]) / spent * 1000, meter.memory().resident)
        for name, meter in meters.items()
    }


async def _query(cluster, rounds, period, seconds):
    """List all pods of the members of one round each period."""
    until = time.monotonic() + seconds
    for members in itertools.cycle(rounds):
        for member in members:
            response = await cluster.list_pods(member)
            response.raise_for_status()
        if time.monotonic() + period > until:
            break
        await asyncio.sleep(period)
    await asyncio.sleep(max(0.0, until - time.monotonic()))


def report(options, emit):
    """Measure, print a table, and give whether the goal is met."""
    emit(
        f"{options.nodes} nodes x {options.pods} pods, a resolution of {options.resolution:g} s, "
        f"three times {options.seconds:g} s; a single server beside a leader and its follower"
    )
    ratios = []
    for name, measured in asyncio.run(measure(options)).items():
        emit(f"\n{name}")
        ratios.append(_table(measured, emit))
    emit(f"\ngoal {GOAL:g} without queries")
    return ratios[0] <= GOAL


def _table(measured, emit):
    """Print what was measured; give the ratio of leader and follower to a single server."""
    rows = [("server", "CPU", "memory")]
    rows += [
        (name, f"{millicores:.1f} m", f"{memory / MIB:.0f} MiB")
        for name, (millicores, memory) in measured.items()
    ]
    single, leader, follower = (measured[name] for name in ("single", "leader", "follower"))
    ratio = (leader[0] + follower[0]) / single[0]
    rows.append(("leader + follower / single", f"{ratio:.2f}", ""))
    rows.append(("follower / single", f"{follower[0] / single[0]:.2f}",
                 f"{follower[1] / single[1]:.2f}"))  # fmt: skip
    for cells in rows:
        emit("{:28} {:>10} {:>10}".format(*cells))
    return ratio
