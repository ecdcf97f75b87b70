"""Many stand-in kubelets in one process, each on a loopback address of its own."""

from __future__ import annotations

import errno

from metricsapi.tools.sandbox.faults import Fault
from metricsapi.tools.sandbox.kubelet import Decide, Kubelet, Source
from metricsapi.tools.sandbox.serving import Certificates


class Kubelets:
    """The kubelets by node name; `decide` says what a token may do, `latency` is in seconds."""

    def __init__(self, certificates: Certificates, decide: Decide, latency: float = 0.0) -> None:
        self._certificates = certificates
        self._decide = decide
        self._latency = latency
        self._kubelets: dict[str, Kubelet] = {}

    def __getitem__(self, name: str) -> Kubelet:
        return self._kubelets[name]

    async def start(self, source: Source, address: str = "127.0.0.1") -> Kubelet:
        """Serve one kubelet on a free port of `address`, or of 127.0.0.1 where that is not ours.

        All of 127.0.0.0/8 is loopback on Linux, only 127.0.0.1 elsewhere.
        """
        kubelet = self._kubelet(source, address)
        try:
            await kubelet.start()
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            kubelet = self._kubelet(source, "127.0.0.1")
            await kubelet.start()
        self._kubelets[source.name] = kubelet
        return kubelet

    def _kubelet(self, source: Source, address: str) -> Kubelet:
        return Kubelet(source, address, self._decide, self._certificates, self._latency)

    async def set_fault(self, name: str, fault: Fault) -> None:
        """Make one kubelet misbehave. Raises KeyError when there is none of that name."""
        await self._kubelets[name].set_fault(fault)

    async def end(self, name: str) -> None:
        """End one kubelet and forget it. Raises KeyError when there is none of that name."""
        await self._kubelets.pop(name).stop()

    async def stop(self) -> None:
        """End them all and forget them."""
        for kubelet in self._kubelets.values():
            await kubelet.stop()
        self._kubelets.clear()


def loopback(index: int) -> str:
    """Return the address of synthetic node `index`: 127.64.0.1 and on, up to 4 million of them."""
    return f"127.{64 + (index + 1) // 65536}.{(index + 1) // 256 % 256}.{(index + 1) % 256}"
