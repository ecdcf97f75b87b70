"""A server in a cluster of which one kubelet hangs is ready before that one has timed out."""

from metricsapi.tools.sandbox.embedded import Embedded
from metricsapi.tools.sandbox.faults import Fault
from metricsapi.tools.sandbox.size import Size
from tests.support.server import administrator, becomes_ready, serving


async def test_a_kubelet_that_hangs_does_not_hold_up_readiness(tmp_path):
    size = Size(nodes=3, pods=1, host=False, faults={"node-1": Fault.HANG})
    async with (
        Embedded(size, tmp_path, port=0) as embedded,
        serving(embedded, "--kubelet-request-timeout=100s") as server,
        administrator(embedded, server) as http,
    ):
        await becomes_ready(server, http, seconds=30)  # the kubelet's time-out is longer
        status = (await http.get("/statusz?format=json")).json()
        assert status["ready"]
        assert status["counts"] == {"ok": 2, "failing": 0, "pending": 1}
        assert status["remarks"] == ["1 of 3 nodes have not answered yet"]
        nodes = (await http.get("/apis/metrics.k8s.io/v1beta1/nodes")).json()["items"]
        assert {node["metadata"]["name"] for node in nodes} == {"node-0", "node-2"}
