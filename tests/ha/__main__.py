"""`make ha`: what each fault costs clients and kubelets while replicas share their scrapes."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.ha.cluster import HighAvailability
from tests.ha.cost import report
from tests.ha.faults import FAULTS
from tests.install.objects import rendered

COLUMNS = "{:28} {:>7} {:>7} {:>8} {:>8} {:>9} {:>7} {:>6}"


async def run(name, fault, options):
    """Put up two (or three) replicas, let the fault happen, and see it through; give the row."""
    flags = (f"--metric-resolution={options.resolution:g}s",)
    with tempfile.TemporaryDirectory() as directory:
        async with HighAvailability(
            rendered("high-availability"), Path(directory), nodes=options.nodes,
            pods=options.pods, flags=flags, period=options.resolution,
        ) as cluster:  # fmt: skip
            for _ in range(3 if "three" in name else 2):
                await cluster.start()
            await cluster.settle()
            await asyncio.sleep(options.resolution)
            before = await cluster.reads_per_period(2 * options.resolution)
            cluster.watch()
            during = await cluster.reads_while(fault(cluster))
            if len([member for member in cluster.members if member.up]) > 1:
                await cluster.settle()
            await asyncio.sleep(2 * options.resolution)
            after = await cluster.reads_per_period(2 * options.resolution)
            return cluster.seen, before, during, after


def problems(seen, after, resolution):
    """Give what the issue of high availability does not allow."""
    if seen.failed:
        yield f"{len(seen.failed)} failed answers, the first: {seen.failed[0]}"
    if seen.oldest > 2 * resolution + 1:
        yield f"usage {seen.oldest:.1f} s old"
    if seen.cpu_error > 0.01:
        yield f"CPU {seen.cpu_error:.2%} off"
    if not 0.9 <= after <= 1.1:
        yield f"{after:.2f} reads per node and period afterwards"


def main():
    parser = argparse.ArgumentParser(prog="make ha", description=__doc__)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--pods", type=int, default=3, help="pods a node, of two containers each")
    parser.add_argument("--resolution", type=float, default=15.0)
    parser.add_argument("--fault", action="append", choices=FAULTS)
    parser.add_argument("--cost", action="store_true", help="measure CPU and memory, no faults")
    parser.add_argument("--seconds", type=float, default=90.0, help="measured by --cost")
    options = parser.parse_args()
    if options.cost:
        lines, met = report(options)
        print("\n".join(lines))
        return int(not met)
    print(
        f"{options.nodes} nodes x {options.pods} pods, a resolution of {options.resolution:g} s; "
        "reads per node and period before, during and after; what clients saw that ask each "
        "replica once a second\n"
        + COLUMNS.format("fault", "before", "during", "after", "failed", "oldest", "CPU off",
                         "no leader"),
        flush=True,
    )  # fmt: skip
    failed = False
    for name in options.fault or FAULTS:
        needs = getattr(FAULTS[name], "needs", lambda: True)
        if not needs():
            print(f"{name:28} skipped: a command that it needs is missing")
            continue
        seen, before, during, after = asyncio.run(run(name, FAULTS[name], options))
        row = COLUMNS.format(
            name, f"{before:.2f}", f"{during:.2f}", f"{after:.2f}",
            f"{len(seen.failed)}/{seen.answers}", f"{seen.oldest:.1f} s",
            f"{seen.cpu_error:.2%}", f"{seen.leaderless:.0f} s",
        )  # fmt: skip
        print(row, flush=True)
        for problem in problems(seen, after, options.resolution):
            failed = True
            print(f"  FAILED: {problem}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
