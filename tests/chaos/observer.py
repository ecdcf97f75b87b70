"""Checks all the time what must hold whatever fails, and records each violation."""

import asyncio
import time
from datetime import datetime

import httpx
import psutil

from tests.chaos.machine import Machine
from tests.chaos.schedule import TICK
from tests.chaos.world import API, RESOLUTION

LIVEZ_WITHIN = 1.0  # seconds
# Seconds by which the two readings of a rate may be dated wrong: a container is read somewhere
# between our request and the first byte of the answer.
TIME_ERROR = 0.2
GRACE = 2 * RESOLUTION + 1.0  # seconds after a node's last fault, in which it may still be missing
# Seconds that usage may be old: a node's first reading after a change of its endpoint has no rate,
# as its time and the one before are cut differently.
OLDEST = 2 * TICK + GRACE
# Bytes that the server may grow by after its first usage: some twenty of the largest answers, as
# two faults may be at twelve nodes, and a body is in memory twice while it is decoded.
MEMORY_GROWTH = 64 << 20
_UNITS = {"n": 1, "u": 10**3, "m": 10**6, "": 10**9}
_SIZES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "": 1}


class Observer:
    """Observes a world while a schedule of faults runs; `problems` are the violations."""

    def __init__(self, world, schedule):
        self.world = world
        self.schedule = schedule
        self.problems = []
        self.machine = Machine(world)
        self.checks = self.queries = self.probes = 0
        self.unjudged = 0  # checks and probes while the machine was busy
        self.slowest_probe = 0.0
        self.cpu_errors = [0.0]  # of what was served of nodes without a fault, as parts
        self.recovered_after = None  # seconds after the last fault
        self.first_resident = self.most_resident = 0

    def problem(self, text):
        """Record a violation, with the faults at that moment."""
        faults = ", ".join(self.schedule.active()) or "none"
        self.problems.append(f"at {self.schedule.elapsed():.1f} s: {text} [faults: {faults}]")

    async def run(self):
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.machine.run())
            group.create_task(self._probe())
            group.create_task(self._check_usage())
            for number in range(5):
                group.create_task(self._query(number))

    async def _probe(self):
        """The process lives, answers `/livez` in time, and takes bounded memory."""
        while True:
            began = time.monotonic()
            if self.world.process.returncode is not None:
                self.problem(f"the process ended with status {self.world.process.returncode}")
                return
            try:
                async with self.world.client(anonymous=True, fresh=True) as client:
                    response = await client.get("/livez")
                took = time.monotonic() - began
                if response.status_code != 200:
                    self.problem(f"/livez answered {response.status_code}: {response.text[:200]}")
                # Within the probe alone, too: of the time before it that may be a small part.
                if self.machine.busy() or self.machine.busy(took):
                    self.unjudged += 1
                else:
                    self.slowest_probe = max(self.slowest_probe, took)
                    if took > LIVEZ_WITHIN:
                        self.problem(f"/livez took {took:.2f} s")
            except httpx.HTTPError as error:
                self.problem(f"/livez failed: {type(error).__name__} {error}")
            self.probes += 1
            try:
                self.most_resident = max(self.most_resident, self.world.resident())
            except psutil.NoSuchProcess:
                continue
            if self.first_resident and self.most_resident > self.first_resident + MEMORY_GROWTH:
                self.problem(f"resident memory grew to {self.most_resident >> 20} MiB")
                self.first_resident = self.most_resident
            await asyncio.sleep(0.25)

    async def _check_usage(self):
        """Nodes without a fault are served with right numbers; every failing node has a cause."""
        async with self.world.client() as client:
            while True:
                try:
                    began = time.monotonic()
                    self._check_nodes(began, *await served(client))
                    self.checks += 1
                    self.first_resident = self.first_resident or self.world.resident()
                except Refused as error:
                    if not self.schedule.may_refuse():
                        self.problem(f"asked as the front proxy: {error}")
                except (httpx.HTTPError, psutil.NoSuchProcess) as error:
                    self.problem(f"asked as the front proxy: {type(error).__name__} {error}")
                except ValueError as error:
                    self.problem(f"/statusz is no JSON: {error}")
                await asyncio.sleep(0.5)

    def _check_nodes(self, began, nodes, pods, status):
        by_name = {node["name"]: node for node in status["nodes"]}
        busy = self.machine.busy()
        self.unjudged += busy
        for node in self.world.nodes:
            row = by_name.get(node.name)
            # Without rates of the kubelet, one reading more is needed after a jump of its clock.
            ticks = 2 if row is not None and row["endpoint"] == "resource" else 1
            if not busy and self.schedule.healthy_since(node.index, began, GRACE, ticks):
                for text in wrong(node, nodes, pods, self.cpu_errors, self.machine.lag()):
                    self.problem(text)
                if row is None or row["state"] != "ok":
                    self.problem(f"{node.name} has no fault, but /statusz says {row}")
        for name, row in by_name.items():
            if row["state"] not in ("ok", "pending") and not row["cause"]:
                self.problem(f"{name} is {row['state']} without a cause")

    async def _query(self, number):
        """Ask as an HPA does: the pods of one namespace by a label, in protobuf or JSON."""
        accept = ("application/vnd.kubernetes.protobuf, */*", "application/json")[number % 2]
        path = f"{API}/namespaces/ns-{number % 4}/pods?labelSelector=app%3Dapp-{number % 4}"
        async with self.world.client() as client:
            while True:
                try:
                    response = await client.get(path, headers={"Accept": accept})
                    self.queries += 1
                    refused = response.status_code in (401, 403, 429) and self.schedule.may_refuse()
                    if response.status_code != 200 and not refused:
                        self.problem(f"a query: {response.status_code} {response.text[:200]}")
                except httpx.HTTPError as error:
                    self.problem(f"a query: {type(error).__name__} {error}")
                await asyncio.sleep(0.1)


def wrong(node, nodes, pods, errors, lag):
    """Yield what is not served of a node as it truly is; note the errors of its CPU.

    `lag` is how late its kubelet may have been, in seconds.
    """
    allowed = (TIME_ERROR + 2 * lag) / RESOLUTION
    served = nodes.get(("", node.name))
    if served is None:
        yield f"{node.name} is not served"
        return
    yield from _old(node.name, served)
    yield from _compare(
        node.name, served["usage"], node.truth.cpu, node.truth.memory, errors, allowed
    )
    for pod in node.truth.pods:
        item = pods.get((pod.namespace, pod.name))
        if item is None:
            yield f"{pod.name} is not served"
            continue
        yield from _old(pod.name, item)
        usage = {each["name"]: each["usage"] for each in item["containers"]}
        if usage.keys() != {name for name, _, _ in pod.containers}:
            yield f"{pod.name} is served with containers {sorted(usage)}"
            continue
        for name, cpu, memory in pod.containers:
            yield from _compare(f"{pod.name}/{name}", usage[name], cpu, memory, errors, allowed)


def _old(name, item):
    """Compare a timestamp, which is the kubelet's, with the time of this machine."""
    age = time.time() - datetime.fromisoformat(item["timestamp"]).timestamp()
    if not -OLDEST < age < OLDEST:
        yield f"{name}: the timestamp {item['timestamp']} is {age:.0f} s old"


def _compare(name, usage, cpu, memory, errors, allowed):
    errors.append(abs(_nanocores(usage["cpu"]) - cpu) / cpu)
    if errors[-1] > allowed:
        yield f"{name}: CPU {usage['cpu']} where {cpu}n is true"
    if _bytes(usage["memory"]) != memory:
        yield f"{name}: memory {usage['memory']} where {memory} is true"


class Refused(Exception):
    """An answer that is not 200."""


async def served(client):
    """Return what is served: nodes and pods by (namespace, name), and the status as JSON."""
    nodes, pods = await _items(client, "nodes"), await _items(client, "pods")
    return nodes, pods, (await _get(client, "/statusz?format=json")).json()


async def _get(client, path):
    response = await client.get(path, headers={"Accept": "application/json"})
    if response.status_code != 200:
        raise Refused(f"{path}: {response.status_code} {response.text[:200]}")
    return response


async def _items(client, resource):
    items = (await _get(client, f"{API}/{resource}")).json()["items"]
    return {
        (each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in items
    }


def _nanocores(text):
    unit = text[-1] if text[-1] in _UNITS else ""
    return int(text.removesuffix(unit)) * _UNITS[unit]


def _bytes(text):
    unit = text[-2:] if text[-2:] in _SIZES else ""
    return int(text.removesuffix(unit)) * _SIZES[unit]
