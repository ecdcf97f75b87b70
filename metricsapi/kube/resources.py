"""Nodes and pods: the few fields that we use of them."""

from __future__ import annotations

from msgspec import Struct


class Address(Struct, frozen=True, gc=False):
    """One of a node's addresses; `type` is InternalIP, ExternalIP, InternalDNS, Hostname, ..."""

    type: str
    address: str


class Node(Struct, frozen=True, gc=False):
    """A node: where its kubelet listens, and the labels of its usage."""

    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    addresses: tuple[Address, ...]
    kubelet_port: int | None  # status.daemonEndpoints.kubeletEndpoint.Port
    ready: bool  # its Ready condition is True
    cpu: int | None = None  # allocatable, nanocores
    memory: int | None = None  # allocatable, bytes
    pod_capacity: int | None = None  # the number of pods that its kubelet takes

    @property
    def key(self) -> str:
        return self.name


class Pod(Struct, frozen=True, gc=False):
    """A Running pod's metadata; its node is known from the kubelet that reports it."""

    namespace: str
    name: str
    labels: dict[str, str]

    @property
    def key(self) -> tuple[str, str]:
        return (self.namespace, self.name)
