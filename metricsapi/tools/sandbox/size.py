"""How large the embedded cluster is."""

from __future__ import annotations

from dataclasses import dataclass, field

from metricsapi.tools.sandbox.faults import Fault
from metricsapi.tools.sandbox.manifests import Manifests

WORKLOADS = "ns-1"  # the namespace of pods with the label "workload"


@dataclass(frozen=True)
class Size:
    """How large the cluster is, and what its synthetic nodes do; see the flags of the same name."""

    nodes: int = 0
    pods: int = 10
    containers: int = 2
    namespaces: int = 10
    workloads: tuple[int, ...] = ()
    host: bool = True
    changing: bool = False
    swap_every: int = 0
    step: float = 0.0
    latency: float = 0.0  # seconds
    groups: int = 0
    churn_pods: int = 0  # a second
    churn_nodes: int = 0  # a minute
    faults: dict[str, Fault] = field(default_factory=dict)
    manifests: Manifests | None = None  # the server's objects, instead of built-in ones
