"""`make faults`: each fault on 1 node in 10, and what is served meanwhile."""

import argparse
import asyncio
import logging
import sys

from tests.faults.cluster import ALLOWED_LATENESS, Cluster
from tests.faults.faults import FAULTS
from tests.faults.fleet import Fleet

COLUMNS = "{:20} {:>8} {:>9} {:>8} {:>9} | {:>9} {:>8} {}"


AT_ONCE = 5  # clusters; more of them are late by themselves, on two cores


async def run(faults, *, seconds, pause=0.0, at_once=100, slow_seconds=None, **options):
    """Run one cluster per fault, some at the same time; return their results."""
    clusters = [Cluster(number, fault, **options) for number, fault in enumerate(faults, 1)]
    hosts = {name: host for cluster in clusters for name, host in cluster.hosts.items()}
    async with Fleet(hosts, clusters[0].pods, slow_seconds=slow_seconds) as fleet:

        async def run_late(number, cluster):
            await asyncio.sleep(number * pause)
            return await cluster.run(fleet, seconds)

        results = []
        for first in range(0, len(clusters), at_once):
            batch = enumerate(clusters[first : first + at_once])
            results += await asyncio.gather(*(run_late(*numbered) for numbered in batch))
        return results


def row(result):
    healthy, faulty = result.healthy, result.faulty
    return COLUMNS.format(
        result.fault,
        f"{result.first:.1f} s" if result.first is not None else "never",
        f"{healthy.complete / max(healthy.checks, 1):.2%}",
        f"{healthy.oldest:.1f} s",
        f"{healthy.cpu_error:.2%}",
        f"{faulty.share:.1%}",
        f"{faulty.oldest:.1f} s",
        ", ".join(f"{count} {cause}" for cause, count in result.causes.items()),
    )


def main():
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each fault lasts")
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--pods", type=int, default=10, help="pods a node, of two containers each")
    parser.add_argument("--resolution", type=float, default=15.0)
    parser.add_argument("--fault", action="append", choices=[fault.name for fault in FAULTS])
    given = parser.parse_args()
    logging.getLogger("metricsapi").setLevel(logging.ERROR)
    faults = [fault for fault in FAULTS if not given.fault or fault.name in given.fault]
    print(
        f"{len(faults)} clusters of {given.nodes} nodes x {given.pods} pods, each with one fault "
        f"on 1 node in 10, for {given.seconds:g} s at a resolution of {given.resolution:g} s, "
        f"{AT_ONCE} clusters at a time",
        flush=True,
    )
    results = asyncio.run(
        run(
            faults,
            seconds=given.seconds,
            pause=0.5,
            at_once=AT_ONCE,
            nodes=given.nodes,
            pods=given.pods,
            resolution=given.resolution,
            timeout=min(10.0, given.resolution * 2 / 3),
        )
    )
    print("\n" + COLUMNS.format("", "healthy:", "", "", "", "faulty:", "", ""))
    print(COLUMNS.format("fault", "first", "served", "oldest", "CPU off", "served", "oldest", "as"))
    for result in results:
        print(row(result))
    problems = [f"{result.fault}: {text}" for result in results for text in result.problems]
    print(
        "\nhealthy: time until all were served, then the checks (four a second) in which a node "
        f"was served with all its pods, its oldest container usage (at most "
        f"{given.resolution + ALLOWED_LATENESS:g} s), and the CPU furthest from the truth.\n"
        "faulty: what of them was served at the end; half failed only after a quarter of the time."
    )
    for problem in dict.fromkeys(problems):
        print(f"FAILED {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
