"""A stand-in for metrics-server's pod: `python -m tests.e2e.migration.metrics_server`.

It serves one node's usage with a certificate that it signed itself, and after SIGTERM for a second
more, as a pod does that leaves.
"""

import asyncio
import json
import signal
import sys

from metricsapi.tools.sandbox.pki import self_signed, server_context
from tests.support.listener import Listener, http

GROUP_VERSION = "metrics.k8s.io/v1beta1"
NODE = "served-by-metrics-server"
RESOURCES = [
    {"name": name, "singularName": "", "namespaced": name == "pods", "kind": kind, "verbs": verbs}
    for name, kind, verbs in (
        ("nodes", "NodeMetrics", ["get", "list"]),
        ("pods", "PodMetrics", ["get", "list"]),
    )
]
LIST = {
    "kind": "NodeMetricsList",
    "apiVersion": GROUP_VERSION,
    "metadata": {},
    "items": [
        {
            "metadata": {"name": NODE},
            "timestamp": "2026-01-01T00:00:00Z",
            "window": "15s",
            "usage": {"cpu": "1", "memory": "1Gi"},
        }
    ],
}
DISCOVERY = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": GROUP_VERSION,
    "resources": RESOURCES,
}
ANSWERS = {
    "/readyz": "ok",
    f"/apis/{GROUP_VERSION}": DISCOVERY,
    f"/apis/{GROUP_VERSION}/nodes": LIST,
}


def answer(request):
    content = ANSWERS.get(request.path)
    return http(json.dumps(content).encode(), 404 if content is None else 200)


async def main():
    leaving = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leaving.set)
    certificate = self_signed("metrics-server")
    async with Listener(answer, tls=server_context(certificate)) as listener:
        sys.stdout.write(f"listening on 127.0.0.1 port {listener.port}.\n")
        sys.stdout.flush()
        await leaving.wait()
        await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main())
