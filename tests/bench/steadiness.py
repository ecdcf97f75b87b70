"""Measures the time between scrapes of a node, and latency meanwhile and at a start."""

from __future__ import annotations

import asyncio
import re
import time
from itertools import pairwise

from tests.bench.cases import BASE
from tests.bench.client import JSON, PROTOBUF
from tests.bench.measure import Server, percentile, wait_served

_LAST_SCRAPE = re.compile(
    rb'^metrics_server_kubelet_last_request_time_seconds\{node="(.*)"\} (.*)$', re.MULTILINE
)
POLL = 5.0  # seconds between two reads of when nodes were scraped: a third of a period
QUERY = 0.02  # seconds between two queries


async def start(server: Server, nodes: int) -> dict[str, float]:
    """Wait until every node is served, and request discovery meanwhile, ten times a second.

    Return the seconds until all nodes have usage, until the first discovery, and its latency in ms.
    """
    began = time.monotonic()
    first: list[float] = []
    times: list[float] = []

    async def discover() -> None:
        connection = server.connect()
        while True:
            try:
                response = await connection.get(BASE, JSON)
            except (OSError, asyncio.IncompleteReadError):
                await connection.close()
            else:
                if response.status == 200 and not first:
                    first.append(time.monotonic() - began)
                times.append(response.seconds)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(discover())
    await wait_served(server, nodes, 60 + nodes * 0.1)
    served = time.monotonic() - began
    task.cancel()
    await asyncio.wait([task])
    return {
        "seconds": served,
        "until_discovery_seconds": first[0],
        "discovery_p99_ms": percentile(times, 0.99) * 1000,
        "discovery_longest_ms": max(times) * 1000,
    }


async def queries(server: Server, path: str, seconds: float) -> dict[str, float]:
    """Return the latency of a query each 20 ms while nodes are scraped, in ms."""
    connection = server.connect()
    times = []
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        times.append((await connection.get(path, PROTOBUF)).seconds)
        await asyncio.sleep(QUERY)
    await connection.close()
    return {
        "p50_ms": percentile(times, 0.5) * 1000,
        "p99_ms": percentile(times, 0.99) * 1000,
        "longest_ms": max(times) * 1000,
    }


async def periods(server: Server, nodes: int, resolution: float, scrapes: int) -> dict[str, float]:
    """Return the seconds between two scrapes of a node, over so many of each; by `/metrics`."""
    connection = server.connect()
    ends: dict[bytes, list[float]] = {}
    for _ in range(round(scrapes * resolution / POLL)):
        response = await connection.get("/metrics")
        for node, at in _LAST_SCRAPE.findall(response.body):
            known = ends.setdefault(node, [])
            if not known or known[-1] != float(at):
                known.append(float(at))
        await asyncio.sleep(POLL)
    await connection.close()
    apart = [later - earlier for each in ends.values() for earlier, later in pairwise(each)]
    late = sum(abs(seconds - resolution) > 0.5 for seconds in apart)
    return {
        "nodes": len(ends),
        "nodes_without_two": nodes - sum(len(each) > 1 for each in ends.values()),
        "shortest_seconds": min(apart),
        "longest_seconds": max(apart),
        "beyond_half_a_second": late,
        "of": len(apart),
    }
