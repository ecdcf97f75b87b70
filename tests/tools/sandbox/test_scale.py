"""A cluster of the largest size fits beside everything else in one process."""

import asyncio
import tracemalloc

from metricsapi.kube.informer import Informer
from metricsapi.kube.watch import RUNNING_PODS
from metricsapi.tools.sandbox.objects import pod_object
from metricsapi.tools.sandbox.state import Cluster
from metricsapi.tools.sandbox.synthetic import synthetic_node
from tests.support.conditions import until
from tests.tools.sandbox.apiservers import product_client, running


def fill(cluster, nodes, pods=30):
    for i in range(nodes):
        node = synthetic_node(i, pods, 2)
        for pod in node.pods:
            containers = [name for name, _, _ in pod.containers]
            item = pod_object(pod.namespace, pod.name, node.name, containers, pod.labels)
            cluster.apply("pods", item)


def test_an_object_is_kept_in_about_a_kilobyte():
    cluster = Cluster()
    tracemalloc.start()
    fill(cluster, 80)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(cluster.list("pods")) == 2400
    assert used / 2400 < 1400, "150,000 pods in 200 MiB, their last changes included"


async def test_what_is_listed_is_what_was_encoded():
    cluster = Cluster()
    fill(cluster, 1, 3)
    records = cluster.collections["pods"].ordered()
    assert [each.object() for each in records] == list(cluster.list("pods"))
    first = cluster.list("pods")[0]
    first["metadata"]["name"] = "changed"
    assert cluster.list("pods")[0]["metadata"]["name"] == "app-0-0", "what is given is a copy"
    assert [item["metadata"]["name"] for item in cluster.list("pods")[1:]] == ["app-0-1", "app-0-2"]


async def test_an_informer_follows_a_large_cluster_through_churn():
    async with running() as api, product_client(api) as kube:
        fill(api.cluster, 100)
        informer = Informer(kube, RUNNING_PODS)
        task = asyncio.create_task(informer.run())
        await until(informer.synced.is_set)
        assert len(informer.objects) == 3000
        for pod in list(api.cluster.list("pods"))[::3]:
            api.cluster.delete("pods", pod["metadata"]["name"], pod["metadata"]["namespace"])
        fill(api.cluster, 10, 40)
        expected = {(r.namespace, r.name) for r in api.cluster.collections["pods"].ordered()}
        await until(lambda: informer.objects.keys() == expected)
        assert informer.restarts == 0
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
