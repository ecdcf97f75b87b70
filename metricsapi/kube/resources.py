"""Nodes and pods: the few fields that we use of them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Address(Struct, frozen=True, gc=False):
    """One of a node's addresses; `type` is InternalIP, ExternalIP, InternalDNS, Hostname, ..."""

    type: str
    address: str


class Capacity(Struct, frozen=True, gc=False):
    """How much a node has, not only for pods; None where its object does not say."""

    cpu: int | None = None  # nanocores
    memory: int | None = None  # bytes
    swap: int | None = None  # bytes; status.nodeInfo.swap.capacity, from Kubernetes 1.34 on
    ephemeral_storage: int | None = None  # bytes
    pods: int | None = None  # the number that its kubelet takes


class Node(Struct, frozen=True, gc=False):
    """A node: where its kubelet listens, and the labels of its usage."""

    name: str
    labels: Mapping[str, str]
    annotations: dict[str, str]
    addresses: tuple[Address, ...]
    kubelet_port: int | None  # status.daemonEndpoints.kubeletEndpoint.Port
    ready: bool  # its Ready condition is True
    cpu: int | None = None  # allocatable, nanocores
    memory: int | None = None  # allocatable, bytes
    capacity: Capacity = Capacity()

    @property
    def key(self) -> str:
        return self.name


class Pod(Struct, frozen=True, gc=False):
    """A Running pod's metadata, and what a watch adds to it.

    `static_uid` is the uid that the kubelet has for a static pod; its object, the mirror pod, has
    another one. Lists have metadata alone, so `node` is empty and `ready` False until an event of a
    watch has both; they stay so where the API server watches metadata alone.
    """

    namespace: str
    name: str
    labels: Mapping[str, str]
    uid: str = ""
    static_uid: str = ""
    node: str = ""  # that it is bound to
    ready: bool = False  # all of its containers and readiness gates are

    @property
    def key(self) -> tuple[str, str]:
        return (self.namespace, self.name)
