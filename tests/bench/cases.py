"""What readers ask for: the requests of the benchmark, each with a name."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.client import JSON, PROTOBUF, TABLE

BASE = "/apis/metrics.k8s.io/v1beta1"


def query(matches: int) -> str:
    """Return the path of an HPA's query with 1, 100 or 1000 matches."""
    return f"{BASE}/namespaces/ns-1/pods?labelSelector=workload%3D{matches}"


@dataclass(frozen=True)
class Case:
    """One kind of request, and how often it is asked in one round."""

    name: str
    path: str
    accept: str
    rounds: int
    gzip: bool = False


def cases(nodes: int) -> list[Case]:
    """Return the cases for a cluster of `node-<i>` with pods `app-<i>-<p>` in `ns-<p mod 2>`.

    In `ns-1`, the label `workload` is 1 of one pod, 100 of a hundred, 1000 of a thousand.
    """
    few = max(12, 3000 // nodes)
    named = f"{BASE}/namespaces/ns-1/pods"
    return [
        Case("list pods, JSON", f"{BASE}/pods", JSON, few),
        Case("list pods, protobuf", f"{BASE}/pods", PROTOBUF, few),
        Case("list pods, Table", f"{BASE}/pods", TABLE, few),
        Case("list pods, JSON, gzip", f"{BASE}/pods", JSON, few, gzip=True),
        Case("list nodes, JSON", f"{BASE}/nodes", JSON, few * 4),
        Case("list nodes, protobuf", f"{BASE}/nodes", PROTOBUF, few * 4),
        *(
            Case(f"HPA query, {pods} matches, {name}", query(pods), accept, rounds)
            for pods, rounds in ((1, 300), (100, 200), (1000, 100))
            for name, accept in (("JSON", JSON), ("protobuf", PROTOBUF))
        ),
        Case("get one pod, JSON", f"{named}/app-7-3", JSON, 300),
        Case("get one node, protobuf", f"{BASE}/nodes/node-7", PROTOBUF, 300),
        Case("discovery", BASE, JSON, 300),
    ]
