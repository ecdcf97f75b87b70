"""Copying the sandbox's objects to a real API server goes on after that has failed."""

import httpx

from metricsapi.tools.sandbox.mirror import Mirror
from metricsapi.tools.sandbox.state import Cluster
from tests.support.conditions import until


async def test_a_copy_that_fails_is_reported_once_and_tried_again(capsys):
    cluster, applied, refusals = Cluster(), [], [500, 500]

    def respond(request):
        name = request.url.path.rpartition("/")[2]
        if name == "late" and refusals:
            return httpx.Response(refusals.pop(), text="etcd is away")
        applied.append(name)
        return httpx.Response(200)

    mirror = Mirror(cluster)
    transport = httpx.MockTransport(respond)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as mirror.client:
        await mirror.start()
        for name in ("late", "later"):
            cluster.apply("namespaces", {"metadata": {"name": name}})
        await until(lambda: {"late", "later"} <= set(applied), seconds=10, what="the copies")
        await mirror.stop()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("metricsapi sandbox: copying objects to the API server failed")
    assert "etcd is away" in line
