"""A Service as kube-proxy makes one: each connection goes to one of the endpoints, at random."""

import asyncio
import random


class ServiceForwarder:
    """`async with` it: a port of this machine that leads to what `endpoints()` gives.

    `environment` is what a kubelet tells a pod of the Service.
    """

    def __init__(self, name, endpoints, seed=1):
        self._name = name.upper().replace("-", "_")
        self._endpoints = endpoints
        self._random = random.Random(seed)
        self._tasks = set()

    @property
    def environment(self):
        host, port = self._server.sockets[0].getsockname()[:2]
        return {f"{self._name}_SERVICE_HOST": host, f"{self._name}_SERVICE_PORT": str(port)}

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(5):  # iterations of the loop in which asyncio closes what was aborted
            await asyncio.sleep(0.001)

    def _connected(self, reader, writer):
        task = asyncio.create_task(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader, writer):
        writers = [writer]
        try:
            endpoints = list(self._endpoints())
            if endpoints:
                host, port = self._random.choice(endpoints)
                backend_reader, backend_writer = await asyncio.open_connection(host, port)
                writers.append(backend_writer)
                await asyncio.gather(
                    _copy(reader, backend_writer),
                    _copy(backend_reader, writer),
                    return_exceptions=True,
                )
        except OSError:
            pass  # nobody listens there
        finally:
            for each in writers:
                each.transport.abort()


async def _copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
