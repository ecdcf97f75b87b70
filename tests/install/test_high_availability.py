"""Two replicas in one cluster: no request is lost that the Deployment's rules can save."""

import asyncio
import contextlib
import itertools
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from tests.install.cluster import SERVICE, Installation
from tests.install.objects import deployment, rendered
from tests.support.conditions import until

pytestmark = pytest.mark.slow

API = "/apis/metrics.k8s.io/v1beta1"
PROTOBUF = {"Accept": "application/vnd.kubernetes.protobuf, */*"}
# What `kubectl top` and the HPA controller ask for.
REQUESTS = (
    (f"{API}/nodes", PROTOBUF),
    (f"{API}/pods", PROTOBUF),
    (f"{API}/namespaces/ns-1/pods?labelSelector=app%3Dapp-1", PROTOBUF),
    (f"{API}/nodes/node-0", {"Accept": "application/json"}),
)
NODES = 4


@dataclass
class Answered:
    began: float
    ended: float
    failure: str


class Load:
    """Four clients that ask through the API server all the time; what became of each request."""

    def __init__(self, installation):
        self._client = installation.admin
        self._tasks = []
        self.answers = []

    async def __aenter__(self):
        self._tasks = [asyncio.create_task(self._ask(number)) for number in range(4)]
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def failed(self):
        return [each for each in self.answers if each.failure]

    async def more(self, count=40):
        """Wait for so many more answers."""
        wanted = len(self.answers) + count
        await until(lambda: len(self.answers) >= wanted, seconds=30, what=f"{count} answers")

    async def _ask(self, number):
        for path, headers in itertools.islice(itertools.cycle(REQUESTS), number, None):
            began, failure = time.monotonic(), ""
            try:
                answer = await self._client.get(path, headers=headers)
                if answer.status_code != 200 or len(answer.content) < 100:
                    failure = f"{path}: {answer.status_code} {answer.text[:200]}"
            except httpx.HTTPError as error:
                failure = f"{path}: {error!r}"
            self.answers.append(Answered(began, time.monotonic(), failure))
            await asyncio.sleep(0.02)  # else the clients keep a processor busy


@asynccontextmanager
async def two_replicas(directory):
    objects = rendered("high-availability")
    async with Installation(objects, directory) as installation:
        for number in range(NODES):
            await installation.add_node(number)
        first = await installation.start_replica()
        second = await installation.start_replica()
        await installation.ready(first, second)
        yield installation, first, second


async def test_a_rolling_restart_loses_no_request(tmp_path):
    strategy = deployment(rendered("high-availability"))["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": 1, "maxUnavailable": 0}
    async with two_replicas(tmp_path) as (installation, *old), Load(installation) as load:
        await load.more()
        for replica in old:
            # One more than wanted, then one of the old goes: that is maxSurge 1, maxUnavailable 0.
            await installation.ready(await installation.start_replica())
            replica.leave()
            assert await asyncio.wait_for(replica.process.wait(), 30) == 0
            await load.more()
        assert [each.failure for each in load.failed] == []
        assert len(load.answers) >= 120


def test_a_drain_leaves_one_that_is_ready_and_waits_for_none_that_is_not():
    budget = rendered("high-availability")["PodDisruptionBudget", "kube-system", "metrics-server"]
    assert budget["spec"]["minAvailable"] == 1
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    selected = budget["spec"]["selector"]["matchLabels"]
    assert selected == deployment(rendered("high-availability"))["spec"]["selector"]["matchLabels"]


async def test_a_killed_replica_fails_only_the_requests_that_it_had(tmp_path):
    async with two_replicas(tmp_path) as (installation, first, second), Load(installation) as load:
        await load.more()
        assert load.failed == []
        killed = time.monotonic()
        first.kill()
        await first.process.wait()
        survivor = [("127.0.0.1", second.port)]
        endpoints = installation.api.aggregator.endpoints
        await until(lambda: endpoints[SERVICE] == survivor, what="the dead endpoint's removal")
        removed = time.monotonic()
        await load.more()
        # Sent to it before, or while it still was an endpoint; none besides.
        assert all(killed <= each.ended and each.began <= removed for each in load.failed)
        assert len(load.answers) > 2 * len(load.failed)
        assert not [each for each in load.failed if each.ended > removed + 1]


async def test_a_new_replica_that_is_ready_serves_every_node_that_answers(tmp_path):
    released = asyncio.Event()

    async def hold(reader, writer):
        with contextlib.suppress(asyncio.CancelledError):
            await released.wait()
        writer.close()

    hanging = await asyncio.start_server(hold, "127.0.0.1", 0)
    async with two_replicas(tmp_path) as (installation, *_), hanging:
        installation.add_node_at("hanging", hanging.sockets[0].getsockname()[1])
        third = await installation.start_replica("--kubelet-request-timeout=60s")
        await installation.ready(third)
        installation.api.aggregator.endpoints[SERVICE] = [("127.0.0.1", third.port)]
        items = (await installation.admin.get(f"{API}/pods")).json()["items"]
        assert len(items) == NODES * 3
        released.set()
