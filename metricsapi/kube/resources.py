"""The few fields we use of the few objects we watch."""

from __future__ import annotations

from msgspec import Struct


class Address(Struct, frozen=True, gc=False):
    """One of a node's addresses; `type` is InternalIP, ExternalIP, InternalDNS, Hostname, ..."""

    type: str
    address: str


class Node(Struct, frozen=True, gc=False):
    """A node: where its kubelet is, and what its usage is labelled with."""

    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    addresses: tuple[Address, ...]
    kubelet_port: int | None  # status.daemonEndpoints.kubeletEndpoint.Port
    ready: bool  # its Ready condition is True
    cpu: int | None = None  # allocatable: nanocores
    memory: int | None = None  # and bytes

    @property
    def key(self) -> str:
        return self.name


class Pod(Struct, frozen=True, gc=False):
    """A Running pod's metadata; which node it is on, its kubelet tells."""

    namespace: str
    name: str
    labels: dict[str, str]

    @property
    def key(self) -> tuple[str, str]:
        return (self.namespace, self.name)
