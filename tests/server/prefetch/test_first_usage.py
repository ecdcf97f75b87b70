"""A whole server: usage of a pod that starts is there long before the schedule would bring it."""

import pytest

from tests.support.conditions import until
from tests.support.server import administrator, becomes_ready, serving
from tests.support.starting import NAMESPACE, StartingCluster

PODS = f"/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods"
# Two readings on the schedule would take from 45 to 90 s.
FLAGS = ("--prefetch", "--metric-resolution=45s", "--min-scrape-interval=1s")


@pytest.fixture
async def cluster(tmp_path):
    async with (
        StartingCluster(tmp_path, 2) as cluster,
        serving(cluster, *FLAGS) as server,
        administrator(cluster, server) as client,
    ):

        async def is_served(name):
            return (await client.get(f"{PODS}/{name}")).status_code == 200

        cluster.is_served = is_served
        await becomes_ready(server, client)
        yield cluster


async def test_a_pod_that_starts_has_usage_after_two_scrapes_of_its_node(cluster):
    first, second = cluster.sources
    await until(lambda: first.reads and second.reads)
    before = second.reads
    cluster.start(first, "late", ready=False, known_after=1.5)
    cluster.start(first, "early", ready=True)
    await until(lambda: cluster.is_served("early"), seconds=20)
    await until(lambda: cluster.is_served("late"), seconds=20)
    assert second.reads <= before + 1, "no pod has started there"
