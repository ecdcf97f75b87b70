"""The cluster behind the recorded exchanges: 100 nodes with 30 pods of two containers each.

Usage is constant and follows from a hash, so that anybody can make the same cluster again.
"""

from __future__ import annotations

from metricsapi.kube.resources import Node, Pod
from metricsapi.storage.types import ContainerUsage, NodeUsage, PodUsage

NODES, PODS = 100, 30
MIB, GIB = 2**20, 2**30


def fnv1a(*numbers: int) -> int:
    """64-bit FNV-1a of the decimal numbers, each followed by a slash."""
    value = 0xCBF29CE484222325
    for byte in "".join(f"{number}/" for number in numbers).encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def pages(size: int) -> int:
    return size // 4096 * 4096


def node(i: int) -> Node:
    name = f"node-{i}"
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "zone": f"z{i % 3}",
    }
    return Node(name, labels, {}, (), 10250, True)


def node_usage(i: int, at: float) -> NodeUsage:
    cpu = 5 * 10**8 + fnv1a(i, 3) % (35 * 10**8)
    return NodeUsage(f"node-{i}", at, 15.0, cpu, pages(2 * GIB + fnv1a(i, 4) % (12 * GIB)))


def pod(i: int, p: int) -> Pod:
    return Pod(f"ns-{p % 10}", f"app-{i}-{p}", {"app": f"app-{p}", "tier": str(p % 3)})


def pod_usage(i: int, p: int, at: float) -> PodUsage:
    containers = tuple(
        ContainerUsage(
            f"c{c}",
            10**6 + fnv1a(i, p, c, 1) % (250 * 10**6),
            pages(4 * MIB + fnv1a(i, p, c, 2) % (512 * MIB)),
        )
        for c in range(2)
    )
    item = pod(i, p)
    return PodUsage(item.namespace, item.name, f"node-{i}", at, 15.0, containers)
