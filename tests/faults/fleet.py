"""Many kubelets in one process, each at an address of its own; some of them with a fault."""

import asyncio
import json
import ssl
import time
from datetime import UTC, datetime

from metricsapi.kube.resources import Address, Node
from tests.support.kubelet import http
from tests.support.pki import SERVER, Authority, server_context

RATES = {"c0": 150_000_000, "c1": 40_000_000}  # nanocores, of every pod's two containers


class SimulatedKubelet:
    """Tells `pods` pods whose counters grow at RATES. `fault` is None while it is well."""

    def __init__(self, name, host, pods):
        self.name = name
        self.host = host
        self.pods = pods
        self.fault = None
        self.started = time.time() - 3600
        self.server = None

    def node(self, port):
        return Node(self.name, {}, {}, (Address("InternalIP", self.host),), port, ready=True)

    def summary(self, *, node=None, ahead=0.0, broken=None):
        """The Summary of this moment. `ahead` seconds is its clock wrong; in the first pod the
        field that `broken` names has its value.
        """
        now = time.time()
        age = now - self.started
        pods = [
            {
                "podRef": {"name": f"{self.name}-p{i}", "namespace": "default", "uid": f"u{i}"},
                "containers": [
                    {"name": name, **stat(now + ahead, self.started + ahead, rate, age)}
                    for name, rate in RATES.items()
                ],
            }
            for i in range(self.pods)
        ]
        if broken:
            pods[0]["containers"][0]["cpu"].update(broken)
        whole = stat(now + ahead, self.started + ahead, 10**9, age)
        body = {"node": {"nodeName": node or self.name, **whole}, "pods": pods}
        return json.dumps(body, indent=1).encode()


def stat(now, started, rate, age):
    at = text(now)
    return {
        "startTime": text(started),
        "cpu": {"time": at, "usageNanoCores": rate, "usageCoreNanoSeconds": round(rate * age)},
        "memory": {"time": at, "workingSetBytes": 2**26},
    }


def text(seconds):
    """Whole seconds, truncated, as the kubelet writes them."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


class Fleet:
    """All kubelets of one process on one port, each on a loopback address of its own."""

    def __init__(self, kubelets):
        self.kubelets = kubelets
        self.authority = Authority("kubernetes")
        self.port = 0
        self._tasks = set()
        self._contexts = {
            "well": self._context(self.authority),
            "expired": self._context(self.authority, start=-9e5, end=-8e5),
            "stranger": self._context(Authority("stranger")),
            "self-signed": self._context(Authority("node-ca@1795449849")),
        }

    def _context(self, authority, **dates):
        # One certificate for all: they are verified by the node's name, as it has no address.
        names = [kubelet.name for kubelet in self.kubelets]
        return server_context(authority.issue("kubelet", usages=(SERVER,), names=names, **dates))

    async def __aenter__(self):
        for kubelet in self.kubelets:
            await self.listen(kubelet)
        return self

    async def __aexit__(self, *_):
        for kubelet in self.kubelets:
            self.stop(kubelet)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(5):  # turns of the loop in which asyncio closes what was aborted
            await asyncio.sleep(0.001)

    async def listen(self, kubelet, certificate="well"):
        def connected(reader, writer):
            task = asyncio.create_task(self._serve(kubelet, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        kubelet.server = await asyncio.start_server(
            connected, kubelet.host, self.port, ssl=self._contexts[certificate], backlog=64
        )
        self.port = kubelet.server.sockets[0].getsockname()[1]

    def stop(self, kubelet):
        if kubelet.server is not None:
            kubelet.server.close()
            kubelet.server = None

    async def fall_ill(self, kubelet, fault):
        """Give a kubelet a fault: from now on its connections break as well."""
        kubelet.fault = fault
        if fault.listens != "well":
            self.stop(kubelet)
        if fault.listens in self._contexts and fault.listens != "well":
            await self.listen(kubelet, fault.listens)

    async def _serve(self, kubelet, reader, writer):
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                if kubelet.fault is None:
                    writer.write(http(kubelet.summary(), chunks=1))
                elif kubelet.fault.listens != "well":
                    return  # a connection from when it was well
                else:
                    await kubelet.fault.answer(kubelet, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()
