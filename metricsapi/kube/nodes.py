"""A node's JSON, decoded: the few fields that we use."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from metricsapi.kube.decoding import Metadata, decode_labels
from metricsapi.kube.name_validation import is_subdomain
from metricsapi.kube.quantity import parse_quantity
from metricsapi.kube.resources import Address, Capacity, Node


class _Condition(Struct, gc=False):
    type: str = ""
    status: str = ""


class _Endpoint(Struct, gc=False):
    port: int | None = msgspec.field(default=None, name="Port")


class _DaemonEndpoints(Struct, gc=False, rename="camel"):
    kubelet_endpoint: _Endpoint | None = None


class _Amounts(Struct, gc=False):
    cpu: str = ""
    memory: str = ""
    pods: str = ""
    ephemeral_storage: str = msgspec.field(default="", name="ephemeral-storage")


class _Swap(Struct, gc=False):
    capacity: int | None = None


class _NodeInfo(Struct, gc=False):
    swap: _Swap | None = None


class _NodeStatus(Struct, gc=False, rename="camel"):
    addresses: tuple[Address, ...] | None = None
    conditions: tuple[_Condition, ...] | None = None
    daemon_endpoints: _DaemonEndpoints | None = None
    allocatable: _Amounts | None = None
    capacity: _Amounts | None = None
    node_info: _NodeInfo | None = None


class WireNode(Struct, gc=False):
    """A v1 Node, as far as it is decoded."""

    metadata: Metadata
    status: _NodeStatus | None = None


def read_node(wire: WireNode) -> Node | None:
    """Return what is used of a node; None when it has no valid name. Raises as decoders do."""
    if not is_subdomain(wire.metadata.name):
        return None
    status = wire.status or _NodeStatus()
    daemon = status.daemon_endpoints
    endpoint = daemon.kubelet_endpoint if daemon else None
    amounts = status.allocatable or _Amounts()
    ready = any(c.type == "Ready" and c.status == "True" for c in status.conditions or ())
    return Node(
        name=wire.metadata.name,
        labels=decode_labels(wire.metadata.labels),
        annotations=wire.metadata.annotations or {},
        addresses=status.addresses or (),
        kubelet_port=_port(endpoint.port) if endpoint else None,
        ready=ready,
        cpu=parse_quantity(amounts.cpu, 10**9),
        memory=parse_quantity(amounts.memory),
        capacity=_capacity(status),
    )


def _capacity(status: _NodeStatus) -> Capacity:
    amounts = status.capacity or _Amounts()
    swap = status.node_info.swap if status.node_info else None
    return Capacity(
        parse_quantity(amounts.cpu, 10**9),
        parse_quantity(amounts.memory),
        swap.capacity if swap else None,
        parse_quantity(amounts.ephemeral_storage),
        parse_quantity(amounts.pods),
    )


def _port(number: int | None) -> int | None:
    return number if number is not None and 0 < number < 65536 else None
