"""Synthetic pods and nodes come and go at the rate asked for, and kubelets list the same pods."""

import ssl

import httpx
import pytest

from metricsapi.tools.sandbox.embedded import Embedded
from metricsapi.tools.sandbox.fleet import Plan
from metricsapi.tools.sandbox.fleets import Fleets
from metricsapi.tools.sandbox.main import main
from metricsapi.tools.sandbox.pki import Authority
from metricsapi.tools.sandbox.size import Size
from tests.support.conditions import until


def pods(cluster):
    """Return the names of the synthetic pods by node."""
    seen = {}
    for pod in cluster.list("pods"):
        if pod["metadata"]["name"].startswith("app-"):
            seen.setdefault(pod["spec"]["nodeName"], set()).add(pod["metadata"]["name"])
    return seen


async def listed(address, port):
    """Return the names of the pods that a kubelet lists."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        response = await client.get(
            f"https://{address}:{port}/stats/summary", headers={"Authorization": "Bearer good"}
        )
    return {pod["podRef"]["name"] for pod in response.json()["pods"]}


@pytest.fixture
def authority():
    return Authority("test-ca")


async def test_pods_are_replaced_on_their_nodes_with_their_labels(tmp_path):
    size = Size(nodes=2, pods=3, containers=1, workloads=(2,), host=False, churn_pods=10)
    async with Embedded(size, tmp_path, port=0) as embedded:
        cluster = embedded.cluster
        before = pods(cluster)
        await until(lambda: all(not before[node] & now for node, now in pods(cluster).items()))
        assert {node: len(now) for node, now in pods(cluster).items()} == {"node-0": 3, "node-1": 3}
        labels = [pod["metadata"]["labels"] for pod in cluster.list("pods", "ns-1")]
        assert [each.get("workload") for each in labels] == ["2", "2"]
        assert {each["app"] for each in labels} == {"app-1"}


async def test_a_kubelet_lists_the_pods_that_took_the_place_of_others(authority):
    fleets = Fleets(Plan(2, 2, 1, 1, tokens={"good": ["stats"]}), authority)
    addresses = await fleets.start()
    try:
        await fleets.replace([("node-1", "app-1-0", "app-1-0-7"), ("node-0", "app-0-1", "other")])
        assert await listed(*addresses["node-0"]) == {"app-0-0", "other"}
        assert await listed(*addresses["node-1"]) == {"app-1-0-7", "app-1-1"}
        assert await listed(*await fleets.join(9)) == {"app-9-0", "app-9-1"}
        assert "node-9" in fleets
        await fleets.leave("node-9")
        assert "node-9" not in fleets
    finally:
        await fleets.stop()


async def test_nodes_leave_and_others_join(tmp_path):
    size = Size(nodes=3, pods=2, containers=1, host=False, churn_nodes=1200)
    async with Embedded(size, tmp_path, port=0) as embedded:
        cluster = embedded.cluster
        before = pods(cluster).keys()

        def are_others():
            """Return whether all have been replaced; a deleted node's successor may come later."""
            now = pods(cluster)
            nodes = {node["metadata"]["name"] for node in cluster.list("nodes")}
            return now.keys() == nodes and len(nodes) == 3 and nodes.isdisjoint(before)

        await until(are_others, what="three other nodes")
        assert {len(names) for names in pods(cluster).values()} == {2}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--churn-pods=1"], "--churn-pods: there are no synthetic pods (see --nodes and --pods)"),
        (["--churn-nodes=1"], "--churn-nodes: there are no synthetic nodes (see --nodes)"),
    ],
)
def test_churn_of_nothing_is_refused(capsys, flags, message):
    with pytest.raises(SystemExit):
        main(flags)
    assert message in capsys.readouterr().err
