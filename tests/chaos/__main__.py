"""`make chaos SEED= SECONDS=`: faults at random at every boundary, and what must hold meanwhile."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

import httpx
import uvloop

from tests.chaos.observer import GRACE, OLDEST, Observer, Refused, served, wrong
from tests.chaos.schedule import Schedule, plan
from tests.chaos.world import NODES, World

# Seconds after the last fault. What is needed of the API server is asked for again with a backoff
# of up to 30 s, whatever --metric-resolution is, and a node is well after lies when OLDEST is over.
RECOVERED_WITHIN = OLDEST
READY_WITHIN = 20.0  # seconds


async def run(seed, seconds, directory, *, nodes=NODES, faults=None):
    """Run one plan; return its observer, whose `problems` are empty if nothing was violated.

    `faults` are planned ones, in place of those of the seed.
    """
    async with World(directory, nodes=nodes) as world:
        await _wait_healthy(world, READY_WITHIN)
        schedule = Schedule(plan(seed, seconds, nodes) if faults is None else faults)
        observer = Observer(world, schedule)
        watching = asyncio.create_task(observer.run())
        try:
            await schedule.run(world)
            began = time.monotonic()
            if text := await _wait_healthy(world, RECOVERED_WITHIN, observer.machine.lag):
                observer.problem(
                    f"not recovered {RECOVERED_WITHIN:g} s after the last fault: {text}"
                )
            observer.recovered_after = time.monotonic() - began
            await asyncio.sleep(GRACE)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        if not watching.cancelled():
            watching.result()
        if "Traceback" in world.log:
            observer.problem("the log has a traceback")
        return observer


async def _wait_healthy(world, seconds, lag=lambda: 0.0):
    """Wait until all nodes are served, at most so long; return what is still wrong."""
    deadline = time.monotonic() + seconds
    async with world.client() as client:
        while text := await _unhealthy(world, client, lag()):
            if time.monotonic() > deadline or world.process.returncode is not None:
                return text
            await asyncio.sleep(0.2)
    return ""


async def _unhealthy(world, client, lag):
    """Return what is not as it is without faults; empty if nothing is."""
    try:
        ready = await client.get("/readyz?verbose")
        nodes, pods, status = await served(client)
    except (httpx.HTTPError, Refused) as error:
        return f"{type(error).__name__} {error}"
    if ready.status_code != 200:
        return f"/readyz: {ready.text}"
    if failing := [task for task in status["tasks"] if task["error"]]:
        return f"tasks: {failing}"
    rows = {row["name"]: row for row in status["nodes"]}
    for node in world.nodes:
        for text in wrong(node, nodes, pods, [], lag):
            return text
        if node.name not in rows or rows[node.name]["state"] != "ok":
            return f"{node.name}: {rows.get(node.name)}"
    return ""


def main():
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="the plan (default: a random one)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the plan")
    parser.add_argument("--nodes", type=int, default=NODES)
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    print(f"seed {seed}, {given.seconds:g} s of faults, {given.nodes} nodes", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        observer = uvloop.run(run(seed, given.seconds, Path(directory), nodes=given.nodes))
        if observer.problems:
            print(observer.world.log[-20_000:])
    for each in observer.schedule.planned:
        print(each)
    skipped = sum(bool(entry.skipped) for entry in observer.schedule.planned)
    print(
        f"{len(observer.schedule.planned) - skipped} faults, {skipped} skipped; "
        f"{observer.probes} probes of /livez, the slowest "
        f"{observer.slowest_probe:.2f} s; {observer.checks} checks, CPU off by "
        f"{max(observer.cpu_errors):.1%} at most; {observer.queries} queries; resident "
        f"{observer.first_resident >> 20} MiB at first, {observer.most_resident >> 20} at most; "
        f"recovered {observer.recovered_after:.1f} s after the last fault"
    )
    if observer.unjudged:
        print(f"the machine was busy: {observer.unjudged} checks and probes do not count")
    for text in dict.fromkeys(observer.problems):
        print(f"FAILED {text}")
    return 1 if observer.problems else 0


if __name__ == "__main__":
    sys.exit(main())
