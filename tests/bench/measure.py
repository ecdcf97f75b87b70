"""The measurements: each takes a server, by its meter and its URL, and returns numbers."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import msgspec

from tests.bench.cases import BASE, Case
from tests.bench.client import JSON, PROTOBUF, Connection
from tests.bench.meter import Meter

REPEATS = 3  # of each case
PAUSE = 1.0  # seconds between repeats: longer than reading 1,000 nodes takes


class _Pod(msgspec.Struct):
    timestamp: datetime


class _Pods(msgspec.Struct):
    items: list[_Pod]


@dataclass
class Server:
    """A server under measurement, ours or a peer."""

    name: str
    meter: Meter
    url: str
    context: ssl.SSLContext

    def connect(self) -> Connection:
        return Connection(self.url, self.context)

    async def served(self, resource: str) -> int:
        """Return the number of objects in the list of all nodes or pods; 0 while it fails."""
        connection = self.connect()
        try:
            response = await connection.get(f"{BASE}/{resource}", JSON)
        except (OSError, asyncio.IncompleteReadError):
            return 0
        finally:
            await connection.close()
        if response.status != 200:
            return 0
        items: list[Any] = msgspec.json.decode(response.body)["items"] or []
        return len(items)


def percentile(values: list[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def wait_served(server: Server, nodes: int, seconds: float) -> float:
    """Wait until every node is served; return how long that took. Raises TimeoutError."""
    began = time.monotonic()
    while (count := await server.served("nodes")) < nodes:
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{server.name}: {count} of {nodes} nodes after {seconds:g} s")
        await asyncio.sleep(0.1)
    return time.monotonic() - began


async def scraping(servers: list[Server], nodes: int, resolution: float, seconds: float) -> Any:
    """Return the CPU of each server without queries: millicores, and milliseconds a node scrape."""
    before = [server.meter.cpu_seconds() for server in servers]
    began = time.monotonic()
    await asyncio.sleep(seconds)
    spent = time.monotonic() - began
    result = {}
    for server, start in zip(servers, before, strict=True):
        cores = (server.meter.cpu_seconds() - start) / spent
        result[server.name] = {
            "millicores": cores * 1000,
            "ms_per_scrape": cores * resolution / nodes * 1000,
        }
    return result


async def reading(server: Server, case: Case, background: float) -> dict[str, float]:
    """Return CPU and latency of a case, in ms; `background` is the CPU share that scraping takes.

    The CPU is the median of repeats with pauses between them: a server that reads all nodes at one
    moment does so during one short repeat, or none.
    """
    connection = server.connect()
    rounds = max(1, case.rounds // REPEATS)
    costs, times = [], []
    try:
        for _ in range(REPEATS):
            await asyncio.sleep(PAUSE)
            for _ in range(3):
                response = await connection.get(case.path, case.accept, gzip=case.gzip)
            if response.status != 200:
                problem = f"{response.status} {response.body[:300]!r}"
                raise RuntimeError(f"{server.name}: {case.name}: {problem}")
            cpu, began = server.meter.cpu_seconds(), time.monotonic()
            for _ in range(rounds):
                response = await connection.get(case.path, case.accept, gzip=case.gzip)
                times.append(response.seconds)
            elapsed = time.monotonic() - began
            costs.append(server.meter.cpu_seconds() - cpu - background * elapsed)
    finally:
        await connection.close()
    return {
        "cpu_ms": statistics.median(costs) / rounds * 1000,
        "p50_ms": percentile(times, 0.5) * 1000,
        "p99_ms": percentile(times, 0.99) * 1000,
        "bytes": response.size,
    }


async def capacity(server: Server, path: str, seconds: float) -> dict[str, float]:
    """Return how many HPA queries a second one core serves: queries by CPU seconds."""
    stop = time.monotonic() + seconds

    async def send_queries() -> int:
        connection, count = server.connect(), 0
        while time.monotonic() < stop:
            await connection.get(path, PROTOBUF)
            count += 1
        await connection.close()
        return count

    cpu = server.meter.cpu_seconds()
    counts = await asyncio.gather(*(send_queries() for _ in range(4)))
    return {"per_core": sum(counts) / (server.meter.cpu_seconds() - cpu)}


@contextlib.asynccontextmanager
async def full_lists(server: Server) -> AsyncIterator[None]:
    """Read the list of all pods without pause meanwhile."""

    async def read() -> None:
        connection = server.connect()
        while True:
            await connection.get(f"{BASE}/pods", PROTOBUF)

    task = asyncio.create_task(read())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def under_load(server: Server, path: str, seconds: float) -> dict[str, float]:
    """Return the latency of an HPA query and of discovery during full lists, in ms."""
    times: dict[str, list[float]] = {"hpa": [], "discovery": []}
    async with full_lists(server):
        connection = server.connect()
        stop = time.monotonic() + seconds
        while time.monotonic() < stop:
            times["hpa"].append((await connection.get(path, PROTOBUF)).seconds)
            times["discovery"].append((await connection.get(BASE, JSON)).seconds)
            await asyncio.sleep(0.02)
        await connection.close()
    return {
        f"{name}_p{share}_ms": percentile(values, share / 100) * 1000
        for name, values in times.items()
        for share in (50, 99)
    }


def memory(server: Server) -> dict[str, float]:
    """Return resident and peak memory, in MiB."""
    return {name: value / 2**20 for name, value in asdict(server.meter.memory()).items()}


async def stalls(server: Server) -> dict[str, float]:
    """Return how often the event loop ran a timer late, by the server's own histogram."""
    connection = server.connect()
    response = await connection.get("/metrics")
    await connection.close()
    buckets = {}
    for line in response.body.decode().splitlines():
        if line.startswith("metricsapi_event_loop_lag_seconds_bucket"):
            bound = line.split('le="')[1].split('"')[0]
            buckets[float(bound)] = float(line.rsplit(" ", 1)[1])
    total = max(buckets.values())
    late = {bound: total - count for bound, count in buckets.items()}
    return {
        "looks": total,
        "late_by_10_ms": late[min(bound for bound in late if bound >= 0.01)],
        "late_by_50_ms": late[min(bound for bound in late if bound >= 0.05)],
        "late_by_100_ms": late[min(bound for bound in late if bound >= 0.1)],
    }


async def ages(servers: list[Server], resolution: int) -> Any:
    """Return the seconds from pods' timestamps to their list, requested each second.

    Over one resolution, since the age of usage from a server that reads all nodes at one moment
    depends on the moment of the request. Timestamps are of whole seconds.
    """
    by_server: dict[str, list[float]] = {server.name: [] for server in servers}
    began = time.monotonic()
    for second in range(resolution):
        await asyncio.sleep(max(0.0, began + second - time.monotonic()))
        for server in servers:
            connection = server.connect()
            response = await connection.get(f"{BASE}/pods", JSON)
            await connection.close()
            now, pods = time.time(), msgspec.json.decode(response.body, type=_Pods).items
            by_server[server.name] += [now - pod.timestamp.timestamp() for pod in pods]
    return {
        name: {"median_seconds": percentile(ages, 0.5), "oldest_seconds": max(ages)}
        for name, ages in by_server.items()
    }
