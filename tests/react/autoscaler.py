"""An HPA as a server sees it: its two queries, every 15 s and a little."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Any

from metricsapi.tools.sandbox.loads import read_at
from metricsapi.tools.sandbox.synthetic import synthetic_node
from tests.bench.cases import BASE
from tests.bench.client import PROTOBUF, Connection
from tests.bench.measure import Server
from tests.support.kubernetes_proto import as_json, decode

PERIOD = 15.0
WORK = (0.005, 0.05)  # seconds, least and most, of work between two waits of 15 s
NAMESPACES = 10  # of the sandbox
UNITS = {"n": 1, "u": 10**3, "m": 10**6, "": 10**9}  # nanocores
BYTES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "": 1}


@dataclass(frozen=True)
class Target:
    """The pods that one HPA asks for: `app-<app>` on each node of a group, or of all (None)."""

    app: int
    group: int | None
    usage: float  # nanocores in all while usage is low

    @property
    def path(self) -> str:
        selector = f"app%3Dapp-{self.app}"
        if self.group is not None:
            selector += f"%2Cgroup%3D{self.group}"
        return f"{BASE}/namespaces/ns-{self.app % NAMESPACES}/pods?labelSelector={selector}"


def targets(nodes: int, pods: int, groups: int, apps: int) -> Iterator[Target]:
    """Yield an HPA's target for each app of each group of nodes: so each node has `apps` of them.

    Without groups a target has a pod on each node.
    """
    for group in range(groups or 1):
        members = range(group, nodes, groups or 1)
        all_pods = [synthetic_node(i, pods, 2, NAMESPACES).pods for i in members]
        for app in range(apps):
            usage = sum(cpu for each in all_pods for _, cpu, _ in each[app].containers)
            yield Target(app, group if groups else None, float(usage))


@dataclass(frozen=True)
class Sample:
    """What one query of an HPA gave."""

    at: float  # epoch seconds when it was sent
    age: float  # seconds since the kubelets were read, in the median of its pods
    factor: float  # times the low usage, of all of its pods together


def sample_of(body: bytes, at: float, usage: float) -> Sample:
    """Read a response to a query for pods of a sandbox with `--step`.

    The age is not from the timestamps, which are cut to seconds: working sets have the milliseconds
    at which their kubelets were read. Raises ValueError for a response without pods.
    """
    items: Sequence[Mapping[str, Any]] = as_json(decode(body)).get("items") or []
    ages, cpu = [], 0
    for item in items:
        for container in item["containers"]:
            used = container["usage"]
            ages.append(at - read_at(number_of(used["memory"], BYTES), at))
            cpu += number_of(used["cpu"])
    if not ages:
        raise ValueError("a response without pods")
    return Sample(at, median(ages), cpu / usage)


def number_of(text: str, units: Mapping[str, int] = UNITS) -> int:
    """Return a quantity of CPU in nanocores, or with the units `BYTES` one of memory in bytes."""
    digits = text.rstrip("".join(units))
    return int(digits) * units[text[len(digits) :]]


class Autoscaler:
    """Asks each server at the same times, and keeps what they gave, by server.

    `phase` is in seconds after `began` (monotonic): when it asks first.
    """

    def __init__(self, target: Target, servers: Sequence[Server], phase: float, seed: int) -> None:
        self.samples: dict[str, list[Sample]] = defaultdict(list)
        self._target = target
        self._connections = {server.name: server.connect() for server in servers}
        self._phase = phase
        self._random = Random(seed)

    async def run(self, began: float) -> None:
        """Ask until cancelled."""
        await asyncio.sleep(began + self._phase - time.monotonic())
        while True:
            await asyncio.gather(*(self._ask(*each) for each in self._connections.items()))
            await asyncio.sleep(PERIOD + self._random.uniform(*WORK))

    async def _ask(self, name: str, connection: Connection) -> None:
        """Ask for CPU and then for memory, as an HPA with both does; keep what the first gave."""
        at = time.time()
        first = await connection.get(self._target.path, PROTOBUF)
        await connection.get(self._target.path, PROTOBUF)
        if first.status != 200:
            raise RuntimeError(f"{name}: {first.status} {first.body[:300]!r}")
        self.samples[name].append(sample_of(first.body, at, self._target.usage))

    async def close(self) -> None:
        for connection in self._connections.values():
            await connection.close()
