"""The measurement: simulated HPAs ask all servers at the same times, and the load steps meanwhile.

The cases follow each other, each with more query phases on each node than the one before. At first
nothing is counted, for so long that queries can be known to be regular; what is counted begins with
a step of the load.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from tests.bench.client import JSON
from tests.bench.measure import Server
from tests.react.autoscaler import PERIOD, Autoscaler, Target
from tests.react.response import Value, responses, steps

# Seconds in which nothing is counted, at least: the fourth query of an HPA, by which its interval
# is known, comes up to four periods after the begin, and the next one is the first expected.
LEARN = 5 * PERIOD
READS = "metrics_server_kubelet_request_duration_seconds_count"


class Plan(NamedTuple):
    """What is measured."""

    targets: Sequence[Target]
    nodes: int
    phases: Sequence[int]  # of each case: how many HPAs ask for pods of each node
    step: float  # seconds from one step of the load to the next
    steps: int  # in each case


async def measure(servers: Sequence[Server], plan: Plan) -> dict[str, Any]:
    """Return the numbers by what, by server, by name. Raises what a query raises."""
    random, asking, measured, before = Random(1), [], {}, 0
    async with asyncio.TaskGroup() as group:
        for phases in plan.phases:
            new = [
                Autoscaler(target, servers, random.uniform(0, PERIOD), len(asking) + number)
                for number, target in enumerate(plan.targets)
                if before <= target.app < phases
            ]
            began = time.monotonic()
            running = [group.create_task(each.run(began)) for each in new]
            asking += list(zip(new, running, strict=True))
            begin = next(steps(time.time() + LEARN, float("inf"), plan.step))
            await asyncio.sleep(begin - time.time())
            name = f"{phases} query phase{'s' * (phases > 1)} a node"
            measured[name] = await _case(servers, [each for each, _ in asking], plan, begin)
            before = phases
        for autoscaler, task in asking:
            task.cancel()
            await autoscaler.close()
    return measured


async def _case(
    servers: Sequence[Server], autoscalers: Sequence[Autoscaler], plan: Plan, begin: float
) -> dict[str, Any]:
    """Return by server what was seen in `plan.steps` steps from `begin` on."""
    before = [await counts(server) for server in servers]
    end = begin + plan.steps * plan.step
    await asyncio.sleep(end - time.time())
    after = [await counts(server) for server in servers]
    result = {}
    for server, first, last in zip(servers, before, after, strict=True):
        seen = [
            [each for each in autoscaler.samples[server.name] if begin <= each.at < end]
            for autoscaler in autoscalers
        ]
        reacted = [
            response
            for samples in seen
            for response in responses(
                [Value(each.at, each.factor) for each in samples],
                [begin + number * plan.step for number in range(plan.steps)],
                plan.step,
            )
        ]
        passed = last.at - first.at
        result[server.name] = {
            "age_seconds": [each.age for samples in seen for each in samples],
            "changed_seconds": [each.changed for each in reacted],
            "whole_seconds": [each.whole for each in reacted],
            "steps_not_seen_wholly": len(seen) * plan.steps - len(reacted),
            "reads": (last.reads - first.reads) / plan.nodes / passed * PERIOD,
            "millicores": (last.cpu - first.cpu) / passed * 1000,
        }
    return result


class Counts(NamedTuple):
    """What a server has done so far."""

    at: float  # monotonic seconds
    reads: float  # of kubelets
    cpu: float  # seconds


async def counts(server: Server) -> Counts:
    """Ask a server for its own count of reads; of both servers it is in the same histogram."""
    connection = server.connect()
    response = await connection.get("/metrics", JSON)
    await connection.close()
    lines = response.body.decode().splitlines()
    reads = sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(READS))
    return Counts(time.monotonic(), reads, server.meter.cpu_seconds())
