"""What the store learns from the API server: capacities, uids, and the nodes of disputed pods."""

import asyncio

import msgspec
import pytest

from metricsapi.kube.resources import Capacity
from metricsapi.kube.watch import NODES, RUNNING_PODS
from metricsapi.server.cluster import MAX_PENDING, ClusterView
from tests.api.cluster import Objects
from tests.support.apiserver import ScriptedApiServer
from tests.support.conditions import until


class Store:
    def __init__(self):
        self.changed, self.bound = [], []

    def reconsider(self, *key):
        self.changed.append(key)

    def bind(self, *found):
        self.bound.append(found)


def pod(name="p", uid="u", **annotations):
    metadata = {"name": name, "namespace": "ns", "uid": uid, "annotations": annotations}
    return RUNNING_PODS.decode(msgspec.json.encode({"metadata": metadata}))


@pytest.fixture
async def view():
    """A view of scripted objects; `answer` is what the API server says of any pod."""
    async with ScriptedApiServer() as server:
        nodes, pods = Objects(), Objects()
        made = ClusterView(nodes, pods, server.client)
        made.nodes, made.pods, made.requests = nodes, pods, []

        def answer(request):
            made.requests.append(request)
            return made.response

        server.answer = answer
        made.response = 200, {"items": []}
        made.store = Store()
        task = asyncio.create_task(made.run(made.store))
        yield made
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def found(node="n1", uid="u"):
    return 200, {"items": [{"metadata": {"uid": uid}, "spec": {"nodeName": node}}]}


async def test_a_disputed_pod_is_looked_up_by_one_bounded_list(view):
    view.response = found()
    view.look_up("ns", "p")
    view.look_up("ns", "p")
    await until(lambda: view.store.bound)
    assert view.store.bound == [("ns", "p", "u", "n1")]
    view.look_up("ns", "p")  # an answer that was on its way
    await asyncio.sleep(0)
    (request,) = view.requests
    assert request.path == "/api/v1/namespaces/ns/pods"
    assert request.params == {"fieldSelector": "metadata.name=p", "limit": "1"}


async def test_a_pod_that_is_bound_to_no_node_yet_decides_nothing(view):
    view.response = found(node="")
    view.look_up("ns", "p")
    await until(lambda: view.requests)
    view.response = found()
    view.look_up("ns", "q")
    await until(lambda: view.store.bound)
    assert view.store.bound == [("ns", "q", "u", "n1")]


async def test_a_lookup_that_fails_is_tried_again(view):
    view.response = 500, {}
    view.look_up("ns", "p")
    await until(lambda: view.requests)
    view.response = found()
    await until(lambda: view.store.bound)


async def test_no_more_lookups_wait_than_are_bounded(view):
    """A hostile node lists every pod of the cluster."""
    view.response = 500, {}
    for number in range(3 * MAX_PENDING):
        view.look_up("ns", f"p{number}")
    await until(lambda: view.requests)
    assert len(view.requests) == 1


async def test_the_store_decides_again_when_a_pod_has_become_another_one(view):
    view.follow(view.store)
    pods = view.pods
    pods.set(pod())
    pods.set(pod(other="annotation"))
    assert view.store.changed == [("ns", "p")]
    pods.set(pod(uid="u2"))
    pods.delete(("ns", "p"))
    assert view.store.changed == [("ns", "p")] * 3


@pytest.mark.parametrize(
    ("annotations", "uids"),
    [
        ({}, ["u"]),
        ({"kubernetes.io/config.mirror": "h", "kubernetes.io/config.hash": "h"}, ["u", "h"]),
        ({"kubernetes.io/config.hash": "h"}, ["u"]),
    ],
)
async def test_a_pods_uids_are_its_own_and_its_static_pods(view, annotations, uids):
    view.pods.set(pod(**annotations))
    assert view.uids("ns", "p") == uids
    assert not view.uids("ns", "other")


async def test_the_capacity_of_a_node_is_that_of_its_object(view):
    amounts = {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "100Gi", "pods": "110"}
    node = {
        "metadata": {"name": "n"},
        "status": {"capacity": amounts, "nodeInfo": {"swap": {"capacity": 2**30}}},
    }
    view.nodes.set(NODES.decode(msgspec.json.encode(node)))
    assert view.capacity("n") == Capacity(4 * 10**9, 2**34, 2**30, 100 * 2**30, 110)
    assert view.capacity("other") == Capacity()
