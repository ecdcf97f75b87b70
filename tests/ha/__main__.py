"""`make ha`: what each fault costs clients and kubelets while replicas share their scrapes."""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.ha.cluster import HighAvailability
from tests.ha.cost import report
from tests.ha.faults import FAULTS

COLUMNS = "{:28} {:>7} {:>7} {:>8} {:>8} {:>9} {:>7} {:>6}"
HEAD = ("fault", "before", "during", "after", "failed", "oldest", "CPU off", "no leader")


async def trial(name, options):
    """Start replicas, run the fault, and return what was measured before, during and after."""
    with tempfile.TemporaryDirectory() as directory:
        async with HighAvailability(
            Path(directory), nodes=options.nodes, pods=options.pods, period=options.resolution
        ) as cluster:
            for _ in range(3 if "three" in name else 2):
                await cluster.start()
            await cluster.settle()
            await asyncio.sleep(options.resolution)
            before = await cluster.reads_per_period(2 * options.resolution)
            cluster.watch()
            during = await cluster.reads_while(FAULTS[name](cluster))
            if len([member for member in cluster.members if member.up]) > 1:
                await cluster.settle()
            await asyncio.sleep(2 * options.resolution)
            after = await cluster.reads_per_period(2 * options.resolution)
            seen = cluster.seen
            return {
                "before": before,
                "during": during,
                "after": after,
                "responses": seen.responses,
                "failed": seen.failed,
                "oldest": seen.oldest,
                "cpu_error": seen.cpu_error,
                "leaderless": seen.leaderless,
            }


def problems(numbers, resolution):
    """Yield what high availability does not allow."""
    if failed := numbers["failed"]:
        yield f"{len(failed)} failed responses, the first: {failed[0]}"
    if numbers["oldest"] > 2 * resolution + 1:
        yield f"usage {numbers['oldest']:.1f} s old"
    if numbers["cpu_error"] > 0.01:
        yield f"CPU {numbers['cpu_error']:.2%} off"
    if not 0.9 <= numbers["after"] <= 1.1:
        yield f"{numbers['after']:.2f} reads per node and period afterwards"


def row(name, numbers):
    return COLUMNS.format(
        name, f"{numbers['before']:.2f}", f"{numbers['during']:.2f}", f"{numbers['after']:.2f}",
        f"{len(numbers['failed'])}/{numbers['responses']}", f"{numbers['oldest']:.1f} s",
        f"{numbers['cpu_error']:.2%}", f"{numbers['leaderless']:.0f} s",
    )  # fmt: skip


async def in_a_process(name, options, jobs):
    """Run a trial in a process of its own; return its lines and whether it passed."""
    command = [sys.executable, "-m", "tests.ha", f"--trial={name}", f"--nodes={options.nodes}",
               f"--pods={options.pods}", f"--resolution={options.resolution}"]  # fmt: skip
    async with jobs:
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
    if process.returncode:
        return [f"{name:28} ended with status {process.returncode}"], False
    numbers = json.loads(output)
    wrong = [f"  FAILED: {problem}" for problem in problems(numbers, options.resolution)]
    return [row(name, numbers), *wrong], not wrong


async def faults(options, emit):
    """Run the trials, some at once; print their rows in order; return whether all passed."""
    emit(
        f"{options.nodes} nodes x {options.pods} pods, a resolution of {options.resolution:g} s; "
        "reads per node and period before, during and after; what clients saw that query each "
        "replica once a second"
    )
    emit(COLUMNS.format(*HEAD))
    jobs, good = asyncio.Semaphore(options.jobs), True
    trials = []
    for name in options.fault or FAULTS:
        if getattr(FAULTS[name], "needs", lambda: True)():
            trials.append(asyncio.create_task(in_a_process(name, options, jobs)))
        else:
            emit(f"{name:28} skipped: a command that it needs is missing")
    for pending in trials:
        lines, passed = await pending
        good = good and passed
        emit("\n".join(lines))
    return good


def main():
    parser = argparse.ArgumentParser(prog="make ha", description=__doc__)
    parser.add_argument("--nodes", type=int)
    parser.add_argument("--pods", type=int, help="pods a node, of two containers each")
    parser.add_argument("--resolution", type=float, default=15.0)
    parser.add_argument("--fault", action="append", choices=FAULTS)
    parser.add_argument("--jobs", type=int, default=4, help="faults that are tried at once")
    parser.add_argument("--trial", choices=FAULTS, help=argparse.SUPPRESS)
    parser.add_argument("--cost", action="store_true", help="measure CPU and memory, no faults")
    parser.add_argument("--seconds", type=float, default=75.0, help="measured by --cost")
    options = parser.parse_args()
    options.nodes = options.nodes or (1000 if options.cost else 100)
    options.pods = options.pods or (30 if options.cost else 3)
    if options.trial:
        print(json.dumps(asyncio.run(trial(options.trial, options))))
        return 0
    lines = []

    def emit(text):
        print(text, flush=True)
        lines.append(text)

    good = report(options, emit) if options.cost else asyncio.run(faults(options, emit))
    if out := os.environ.get("OUT"):
        Path(out).write_text("\n".join(lines) + "\n")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
