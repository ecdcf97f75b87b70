"""What readers ask for: the requests of the benchmark, each with a name."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.client import JSON, PROTOBUF, TABLE

BASE = "/apis/metrics.k8s.io/v1beta1"


@dataclass(frozen=True)
class Case:
    """One kind of request, and how often it is asked in one round."""

    name: str
    path: str
    accept: str
    rounds: int
    gzip: bool = False


def cases(nodes: int) -> list[Case]:
    """Give the cases for a cluster of `node-<i>` with pods `app-<i>-<p>` in `ns-<p mod 10>`.

    The label `app=app-<p>` selects one pod of every node, so the number of matches of an HPA's
    query is the number of nodes; `kubernetes.io/hostname` and names select one.
    """
    few = max(12, 3000 // nodes)
    hpa = f"{BASE}/namespaces/ns-3/pods?labelSelector=app%3Dapp-3"
    one = f"{BASE}/namespaces/ns-3/pods"
    return [
        Case("list pods, JSON", f"{BASE}/pods", JSON, few),
        Case("list pods, protobuf", f"{BASE}/pods", PROTOBUF, few),
        Case("list pods, Table", f"{BASE}/pods", TABLE, few),
        Case("list pods, JSON, gzip", f"{BASE}/pods", JSON, few, gzip=True),
        Case("list nodes, JSON", f"{BASE}/nodes", JSON, few * 4),
        Case("list nodes, protobuf", f"{BASE}/nodes", PROTOBUF, few * 4),
        Case(f"HPA query, {nodes} pods, JSON", hpa, JSON, few * 8),
        Case(f"HPA query, {nodes} pods, protobuf", hpa, PROTOBUF, few * 8),
        Case(
            "HPA query, 1 pod, protobuf",
            f"{one}?fieldSelector=metadata.name%3Dapp-7-3",
            PROTOBUF,
            300,
        ),
        Case("get one pod, JSON", f"{one}/app-7-3", JSON, 300),
        Case("get one node, protobuf", f"{BASE}/nodes/node-7", PROTOBUF, 300),
        Case("discovery", BASE, JSON, 300),
    ]
