"""How soon a pod that starts has usage, and is counted by the HPA: with prefetch and without.

    python -m tests.bench.first_usage

Two servers, one with --prefetch=false, each with stand-in kubelets of its own: NODES=20, on which
STARTS=60 pods start within SECONDS=120, each ready READY=4 seconds later. One query with a label
selector for each node comes every 15 s and up to 0.3 s, as an HPA controller makes it.
"""

import asyncio
import contextlib
import math
import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.support.conditions import until
from tests.support.server import administrator, becomes_ready, serving
from tests.support.starting import NAMESPACE, OLD_PODS, StartingCluster

PODS = f"/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods"
NODES, STARTS, SECONDS = (
    int(os.environ.get(name, default))
    for name, default in (("NODES", "20"), ("STARTS", "60"), ("SECONDS", "120"))
)
READY = float(os.environ.get("READY", "4"))
POLL = 0.5  # seconds between two lists
LEARN = 75.0  # seconds in which queries are learned before pods start
PERIOD = 15.0


@dataclass
class Start:
    """One pod; times are seconds since the epoch. The API has whole seconds."""

    source: object
    began: float
    ready: float = math.inf


@dataclass
class Observed:
    """By pod, when it had usage and the time of the query that counts it; times of queries."""

    usage: dict[str, float] = field(default_factory=dict)
    counted: dict[str, float] = field(default_factory=dict)
    queries: dict[str, list[float]] = field(default_factory=dict)  # by node


async def poll(client, observed):
    """List all pods, often: queries as close as this are not predicted."""
    while True:
        for item in await listed(client):
            observed.usage.setdefault(item["metadata"]["name"], time.time())
        await asyncio.sleep(POLL)


async def send_queries(client, observed, node, starts, rng):
    """Query a node's pods as an HPA does, and note which pods it would count."""
    await asyncio.sleep(rng.uniform(0.0, PERIOD))
    while True:
        at = time.time()
        observed.queries.setdefault(node, []).append(at)
        for item in await listed(client, labelSelector=f"node={node}"):
            name = item["metadata"]["name"]
            start = starts.get(name)
            if start is not None and counts(item, start, at):
                observed.counted.setdefault(name, at)
        await asyncio.sleep(PERIOD + rng.uniform(0.0, 0.3))


async def listed(client, **params):
    return (await client.get(PODS, params=params)).raise_for_status().json()["items"]


def counts(item, start, now):
    """Return whether the HPA counts a pod that became ready within its first five minutes."""
    began = datetime.fromisoformat(item["timestamp"]).timestamp() - seconds(item["window"])
    return start.ready <= now and began >= math.floor(start.ready)


def seconds(window):
    minutes, _, rest = window.rpartition("m") if "ms" not in window else ("", "", window)
    return 60.0 * float(minutes or 0) + float(rest.removesuffix("s"))


async def start_pods(cluster, starts, rng):
    began = time.time()
    async with asyncio.TaskGroup() as group:
        for number in range(STARTS):
            await asyncio.sleep(max(0.0, began + number * SECONDS / STARTS - time.time()))
            group.create_task(start_pod(cluster, rng.choice(cluster.sources), number, starts))


async def start_pod(cluster, source, number, starts):
    name = f"new-{number}"
    starts[name] = start = Start(source, time.time())
    cluster.start(source, name, ready=not READY)
    await asyncio.sleep(READY)
    start.ready = time.time()
    cluster.become_ready(source, name)


def row(title, values):
    values = sorted(values)
    return f"| {title} | {statistics.median(values):.1f} | {values[-1]:.1f} |"


def report(flag, observed, starts, reads):
    usage = [observed.usage[name] - start.began for name, start in starts.items()]
    counted = [observed.counted[name] - start.ready for name, start in starts.items()]
    soon = sum(is_counted_soon(observed, name, start) for name, start in starts.items())
    return "\n".join(
        (
            f"\n{flag}: {reads:.2f} scrapes of a node in {PERIOD:g} s",
            "| seconds | median | worst |",
            "|---|--:|--:|",
            row("from running to usage", usage),
            row("from Ready to the query that counts it", counted),
            f"counted by the first query 12 s or more after Ready: {soon} of {len(starts)}",
        )
    )


def is_counted_soon(observed, name, start):
    queries = observed.queries[start.source.name]
    return observed.counted[name] <= next(at for at in queries if at >= start.ready + 12.0)


async def measure(flag, directory):
    """Run a server in its own cluster; return observations, starts, and scrapes a period."""
    rng = random.Random(1)
    starts = {}
    async with contextlib.AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(StartingCluster(directory, NODES))
        server = await stack.enter_async_context(serving(cluster, flag))
        client = await stack.enter_async_context(administrator(cluster, server, timeout=20.0))
        await becomes_ready(server, client)
        observed = Observed()
        work = [
            send_queries(client, observed, source.name, starts, rng) for source in cluster.sources
        ]
        tasks = [asyncio.create_task(each) for each in (poll(client, observed), *work)]
        await until(lambda: len(observed.usage) == NODES * OLD_PODS, seconds=60)
        await asyncio.sleep(LEARN)
        before, began = sum(source.reads for source in cluster.sources), time.time()
        await start_pods(cluster, starts, random.Random(2))
        await until(lambda: observed.counted.keys() >= starts.keys(), seconds=90)
        reads = sum(source.reads for source in cluster.sources) - before
        await asyncio.sleep(PERIOD)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return observed, starts, reads / NODES * PERIOD / (time.time() - began - PERIOD)


async def main():
    with tempfile.TemporaryDirectory() as folder:
        flags = ("--prefetch=false", "--prefetch=true")
        directories = [Path(folder) / str(number) for number in range(len(flags))]
        for directory in directories:
            directory.mkdir()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(measure(flag, directory))
                for flag, directory in zip(flags, directories, strict=True)
            ]
        for flag, task in zip(flags, tasks, strict=True):
            observed, starts, reads = task.result()
            sys.stdout.write(report(flag, observed, starts, reads) + "\n")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
