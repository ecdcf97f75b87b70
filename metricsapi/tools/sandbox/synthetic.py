"""Synthetic nodes and pods: names, labels and mean usage are functions of their numbers.

Names, labels and amounts are those of the cluster behind the recorded exchanges.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20
GIB = 2**30


def fnv1a(*numbers: int) -> int:
    """Return FNV-1a 64 of the decimal numbers, each followed by a slash."""
    value = 0xCBF29CE484222325
    for byte in "".join(f"{number}/" for number in numbers).encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


@dataclass(frozen=True)
class SyntheticPod:
    """Pod `app-<i>-<p>`: its containers as (name, nanocores, working set in bytes)."""

    name: str
    namespace: str
    labels: dict[str, str]
    containers: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class SyntheticNode:
    """Node `node-<i>`: `cpu` in nanocores, `memory` in bytes."""

    index: int
    name: str
    labels: dict[str, str]
    cpu: int
    memory: int
    pods: tuple[SyntheticPod, ...]


def synthetic_uid(pod: str) -> str:
    """Return the uid of a synthetic pod by its name."""
    return f"uid-{pod}"


def synthetic_node(i: int, pods: int, containers: int, namespaces: int = 10) -> SyntheticNode:
    """Return node `i` with so many pods of so many containers, in namespaces in rotation."""
    name = f"node-{i}"
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "zone": f"z{i % 3}",
    }
    return SyntheticNode(
        i,
        name,
        labels,
        5 * 10**8 + fnv1a(i, 3) % (35 * 10**8),
        _page(2 * GIB + fnv1a(i, 4) % (12 * GIB)),
        tuple(_pod(i, p, containers, namespaces) for p in range(pods)),
    )


def _pod(i: int, p: int, containers: int, namespaces: int) -> SyntheticPod:
    return SyntheticPod(
        f"app-{i}-{p}",
        f"ns-{p % namespaces}",
        {"app": f"app-{p}", "tier": str(p % 3)},
        tuple(
            (
                f"c{c}",
                10**6 + fnv1a(i, p, c, 1) % (250 * 10**6),
                _page(4 * MIB + fnv1a(i, p, c, 2) % (512 * MIB)),
            )
            for c in range(containers)
        ),
    )


def _page(size: int) -> int:
    return size // 4096 * 4096
