"""Nodes and pods come and go, the API server restarts: usage is served on, and nothing leaks."""

import asyncio
import contextlib
import re
import time
from pathlib import Path

import psutil
import pytest

from metricsapi.tools.sandbox.embedded import Embedded
from metricsapi.tools.sandbox.size import Size
from tests.support.server import administrator, serving

NODES, PODS, ROUNDS = 12, 10, 12
BASE = "/apis/metrics.k8s.io/v1beta1"


class Running:
    """A server beside the sandbox's API server, and the resources that it uses."""

    def __init__(self, embedded, server, client):
        self.cluster = embedded.cluster
        self.api = embedded.api
        self.client = client
        self._process = psutil.Process(server.pid)

    async def served(self):
        """Return the names of the nodes, and on how many of them pods are served."""
        nodes = (await self.client.get(f"{BASE}/nodes")).raise_for_status().json()["items"]
        pods = (await self.client.get(f"{BASE}/pods")).raise_for_status().json()["items"]
        return {each["metadata"]["name"] for each in nodes}, len(pods)

    async def wait(self, names):
        deadline = time.monotonic() + 20
        while await self.served() != (names, len(names) * PODS):
            assert time.monotonic() < deadline, f"not {sorted(names)}: {await self.served()}"
            await asyncio.sleep(0.05)

    async def resources(self):
        """Return the numbers of open files, threads and series, and the resident bytes."""
        text = (await self.client.get("/metrics")).raise_for_status().text
        series = {line.rsplit(" ", 1)[0] for line in text.splitlines() if line[:1] != "#"}
        ours = {each for each in series if re.search(r'node="|^metricsapi_', each)}
        process = self._process
        return process.num_fds(), process.num_threads(), len(ours), process.memory_info().rss


@pytest.fixture
async def running(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        size = Size(nodes=NODES, pods=PODS, containers=2, host=False)
        embedded = await stack.enter_async_context(Embedded(size, tmp_path, port=0))
        server = await stack.enter_async_context(serving(embedded, "--metric-resolution=1s"))
        client = await stack.enter_async_context(administrator(embedded, server, timeout=20.0))
        yield Running(embedded, server, client)
        assert "Traceback" not in (tmp_path / "server.log").read_text()


def delete_nodes(cluster, names):
    """Delete nodes and their pods; return them, for `restore`."""
    deleted = [
        ("nodes", each) for each in cluster.list("nodes") if each["metadata"]["name"] in names
    ]
    deleted += [
        ("pods", each) for each in cluster.list("pods") if each["spec"]["nodeName"] in names
    ]
    for plural, each in deleted:
        metadata = each["metadata"]
        cluster.delete(plural, metadata["name"], metadata.get("namespace", ""))
    return deleted


def restore(cluster, deleted):
    for plural, each in deleted:
        fresh = {k: v for k, v in each["metadata"].items() if k != "resourceVersion"}
        cluster.apply(plural, {**each, "metadata": fresh})


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
async def test_churn_leaks_nothing_and_other_nodes_stay_served(running):
    every = {each["metadata"]["name"] for each in running.cluster.list("nodes")}
    await running.wait(every)
    before = None
    for number in range(ROUNDS):
        gone = set(sorted(every)[number % 2 :: 2])
        deleted = delete_nodes(running.cluster, gone)
        await running.wait(every - gone)
        if number % 3 == 0:
            await running.api.restart(seconds_away=0.2)
            assert (await running.served())[0] == every - gone
        restore(running.cluster, deleted)
        await running.wait(every)
        if number == 2:
            before = await running.resources()
    after = await running.resources()
    files, threads, series, resident = (b - a for a, b in zip(before, after, strict=True))
    assert abs(files) <= 4, (before, after)
    assert threads <= 2, (before, after)
    assert series <= 4, (before, after)  # a kind of response that had not occurred before
    assert resident < 0.04 * before[3], (before, after)
