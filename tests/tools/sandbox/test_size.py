"""How large a sandbox's synthetic part is, and what its pods are like."""

from collections import Counter

import pytest

from metricsapi.tools.sandbox.embedded import Embedded
from metricsapi.tools.sandbox.main import main
from metricsapi.tools.sandbox.size import Size


async def test_workloads_have_so_many_pods_in_one_namespace(tmp_path):
    size = Size(nodes=5, pods=4, containers=1, namespaces=2, workloads=(1, 6), host=False)
    async with Embedded(size, tmp_path, port=0) as embedded:
        pods = embedded.cluster.list("pods")
        counts = Counter(
            (pod["metadata"]["namespace"], pod["metadata"]["labels"].get("workload"))
            for pod in pods
            if pod["metadata"]["namespace"].startswith("ns-")
        )
    assert counts == {("ns-0", None): 10, ("ns-1", "1"): 1, ("ns-1", "6"): 6, ("ns-1", None): 3}


async def test_groups_are_nodes_whose_pods_have_one_label(tmp_path):
    size = Size(nodes=5, pods=2, containers=1, groups=3, host=False)
    async with Embedded(size, tmp_path, port=0) as embedded:
        counts = Counter(
            (pod["metadata"]["labels"]["group"], pod["metadata"]["labels"]["app"])
            for pod in embedded.cluster.list("pods")
            if pod["metadata"]["namespace"].startswith("ns-")
        )
    nodes = {"0": 2, "1": 2, "2": 1}
    assert counts == {(group, f"app-{p}"): n for group, n in nodes.items() for p in range(2)}


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--workloads=1,x", "'1,x' is no list of numbers of pods: 1,100,1000"),
        ("--workloads=", "'' is no list of numbers of pods"),
        ("--namespaces=0", "'0' is no number from 1 to 10000"),
    ],
)
def test_a_size_that_cannot_be_is_refused_and_named(capsys, flag, message):
    with pytest.raises(SystemExit):
        main([flag])
    assert message in capsys.readouterr().err
