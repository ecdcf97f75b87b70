"""A server in a cluster of which one kubelet hangs is ready before that one has timed out."""

import asyncio

import httpx

from metricsapi.tools.sandbox.embedded import Embedded, Size
from metricsapi.tools.sandbox.faults import Fault
from metricsapi.tools.sandbox.serverprocess import ServerProcess


async def test_a_kubelet_that_hangs_does_not_hold_up_readiness(tmp_path):
    size = Size(nodes=3, pods=1, host=False, faults={"node-1": Fault.HANG})
    async with Embedded(size, tmp_path, port=0) as embedded:
        server = ServerProcess(tmp_path, ("--kubelet-request-timeout=100s",))
        await server.start()
        token = embedded.api.add_user("root", ("system:masters",))
        try:
            async with httpx.AsyncClient(
                base_url=f"https://127.0.0.1:{server.port}",
                verify=False,  # noqa: S501  the server of this test
                headers={"Authorization": f"Bearer {token}"},
            ) as http:

                async def get(path):
                    assert server.is_running, server.epitaph()
                    try:
                        return await http.get(path)
                    except httpx.TransportError:
                        return httpx.Response(503)

                for _ in range(300):  # the kubelet's time-out is three times as long
                    if (await get("/readyz")).text == "ok":
                        break
                    await asyncio.sleep(0.1)
                status = (await get("/statusz?format=json")).json()
                assert status["ready"]
                assert status["counts"] == {"ok": 2, "failing": 0, "pending": 1}
                assert status["remarks"] == ["1 of 3 nodes have not answered yet"]
                nodes = (await get("/apis/metrics.k8s.io/v1beta1/nodes")).json()["items"]
                assert {node["metadata"]["name"] for node in nodes} == {"node-0", "node-2"}
        finally:
            await server.stop()
