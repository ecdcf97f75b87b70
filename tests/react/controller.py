"""The real HPA controller beside a real API server: how soon it acts on a step of the load.

On each node is a pod of each of ten Deployments, each with an HPA. Their phases are spread, as they
are where HPAs were created at different times, or aligned, as after the controller has started
again. What counts is what the HPA objects show, looked at ten times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from metricsapi.tools.sandbox.credentials import admin_client
from metricsapi.tools.sandbox.embedded import Embedded
from metricsapi.tools.sandbox.objects import NAMESPACE, SERVICE
from metricsapi.tools.sandbox.users import ADMIN
from tests.bench.measure import Server
from tests.react.autoscaler import NAMESPACES, PERIOD, Target, number_of
from tests.react.measure import LEARN, counts
from tests.react.response import Value, changes, responses, steps

# Seconds for which nothing is counted once queries are known: nodes are then scraped more often
# than later, with longer windows, until what their budgets had saved is spent.
SPENT = 60.0
LOOK = 0.1  # seconds from one look at the HPAs to the next
SERVED_WITHIN = 90.0  # seconds
REPLICAS = 0.095  # for each node, that low usage asks for: at 100 nodes 10, and 19 while it is high
_CONTAINER = {"name": "c0", "image": "sandbox"}
_AT_ONCE = {
    "stabilizationWindowSeconds": 0,
    "policies": [{"type": "Pods", "value": 1000, "periodSeconds": 15}],
}


class Watched(NamedTuple):
    """What is measured: HPAs that each have a pod on every node."""

    targets: Sequence[Target]
    nodes: int
    step: float  # seconds from one step of the load to the next
    steps: int


async def measure_controller(
    assets: Path, embedded: Embedded, server: Server, watched: Watched
) -> dict[str, Any]:
    """Return what the HPAs showed, by their phase. Raises httpx.HTTPError or TimeoutError."""
    token = embedded.api.add_user(ADMIN, ("system:masters",))
    async with admin_client(embedded.api.url, embedded.api.ca.pem, token) as client:
        await embedded.api.connect(NAMESPACE, SERVICE, int(server.url.rpartition(":")[2]))
        deadline = time.monotonic() + SERVED_WITHIN
        while not await _served(client, watched):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{server.name}: usage is not served through the API server")
            await asyncio.sleep(0.5)
        result = {}
        async with _controller(assets, embedded.directory):
            for target in watched.targets:
                await _create(client, target, watched.nodes)
                await asyncio.sleep(PERIOD / len(watched.targets))
            result["phases spread"] = await _watch(client, server, watched)
        async with _controller(assets, embedded.directory):
            result["phases aligned"] = await _watch(client, server, watched)
    return result


@contextlib.asynccontextmanager
async def _controller(assets: Path, directory: Path) -> AsyncIterator[None]:
    """Run kube-controller-manager with the autoscaler alone."""
    with (directory / "controller.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            assets / "kube-controller-manager",
            f"--kubeconfig={directory / 'kubeconfig'}",
            "--controllers=horizontal-pod-autoscaler-controller",
            "--leader-elect=false",
            "--secure-port=0",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def _served(client: httpx.AsyncClient, watched: Watched) -> bool:
    """Return whether the API server passes queries on, and each HPA's pods are all there."""
    for target in watched.targets:
        response = await client.get(target.path)
        if response.is_error or len(response.json()["items"]) < watched.nodes:
            return False
    return True


async def _create(client: httpx.AsyncClient, target: Target, nodes: int) -> None:
    """Create a Deployment, whose pods there are, and its HPA, which may do everything at once."""
    namespace, name = f"ns-{target.app % NAMESPACES}", f"app-{target.app}"
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [_CONTAINER]}}
    deployment = {
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    average = round(target.usage / 10**6 / (REPLICAS * nodes))
    autoscaler = {
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1,
            "maxReplicas": 1000,
            "behavior": {"scaleUp": _AT_ONCE, "scaleDown": _AT_ONCE},
            "metrics": [_metric("cpu", f"{average}m"), _metric("memory", "1Ti")],
        },
    }
    for path, item in (
        (f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment),
        (f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers", autoscaler),
    ):
        (await client.post(path, json=item)).raise_for_status()


def _metric(name: str, average: str) -> dict[str, Any]:
    target = {"type": "AverageValue", "averageValue": average}
    return {"type": "Resource", "resource": {"name": name, "target": target}}


async def _watch(client: httpx.AsyncClient, server: Server, watched: Watched) -> dict[str, Any]:
    """Look at the HPAs until the load has stepped so often, once queries are known."""
    begin = next(steps(time.time() + LEARN + SPENT, float("inf"), watched.step))
    end = begin + watched.steps * watched.step
    await asyncio.sleep(begin - 1.0 - time.time())
    before, shown = await counts(server), defaultdict(list)
    while (at := time.time()) < end:
        response = await client.get("/apis/autoscaling/v2/horizontalpodautoscalers")
        for item in response.raise_for_status().json()["items"]:
            shown[item["metadata"]["name"]].append(_shown(item["status"], at))
        await asyncio.sleep(max(0.0, at + LOOK - time.time()))
    after = await counts(server)
    times = [begin + number * watched.step for number in range(watched.steps)]
    changed, whole = [], []
    for target in watched.targets:
        looks = [look for look in shown[f"app-{target.app}"] if look is not None]
        low = target.usage / watched.nodes
        values = [Value(at, average / low) for at, average, _ in looks]
        whole += [each.whole for each in responses(values, times, watched.step)]
        changed += changes([Value(at, replicas) for at, _, replicas in looks], times, watched.step)
    passed = after.at - before.at
    return {
        "changed_seconds": changed,
        "whole_seconds": whole,
        "steps_not_seen_wholly": len(watched.targets) * watched.steps - len(whole),
        "reads": (after.reads - before.reads) / watched.nodes / passed * PERIOD,
        "millicores": (after.cpu - before.cpu) / passed * 1000,
    }


def _shown(status: dict[str, Any], at: float) -> tuple[float, float, int] | None:
    """Return the time, the CPU in nanocores in the mean of its pods, and the wanted replicas."""
    for metric in status.get("currentMetrics") or ():
        resource = metric.get("resource", {})
        if resource.get("name") == "cpu" and (average := resource["current"].get("averageValue")):
            return at, float(number_of(average)), status["desiredReplicas"]
    return None
