"""A Service as kube-proxy makes one: each connection goes to one of the endpoints, at random."""

import random

from tests.support.relay import Relay


class ServiceForwarder(Relay):
    """`async with` it: a port of this machine that leads to what `endpoints()` gives.

    `environment` is what a kubelet tells a pod of the Service.
    """

    def __init__(self, name, endpoints, seed=1, **options):
        super().__init__(**options)
        self._name = name.upper().replace("-", "_")
        self._endpoints = endpoints
        self._random = random.Random(seed)

    @property
    def environment(self):
        name = self._name
        return {f"{name}_SERVICE_HOST": self.host, f"{name}_SERVICE_PORT": str(self.port)}

    async def choose(self, _reader, _writer):
        endpoints = list(self._endpoints())
        return self._random.choice(endpoints) if endpoints else None
