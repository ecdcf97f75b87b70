"""`make bench-quick`: amounts of work instead of times, compared with a stored baseline.

Times differ from machine to machine. How many bytes are decoded and sent, how many items there are
and how much memory is allocated for them do not, and hardly from one Python to the next; nor does
code that is divided otherwise change them. What grows beyond the baseline by more than a fifth
fails; what shrinks should be stored: `make bench-quick UPDATE=1`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from metricsapi.api.app import create_app
from metricsapi.api.catalog import Catalog
from metricsapi.kube.resources import Node, Pod
from metricsapi.storage.store import MetricsStore
from metricsapi.tools.sandbox.synthetic import SyntheticNode, synthetic_node
from metricsapi.tools.sandbox.template import SyntheticSource
from tests.api.cluster import Objects, ask
from tests.support.decoding import decode_summary

BASELINE = Path(__file__).parent / "baseline.json"
TOLERANCE = 1.2
SLACK = 4096  # bytes, or of items and blocks none: a dictionary that grows is no news
NODES, PODS, PERIODS = 20, 30, 12
BEGAN, PERIOD = 1.8e9, 15.0
API = "/apis/metrics.k8s.io/v1beta1"
READS = {
    "list pods, JSON": (f"{API}/pods", "application/json"),
    "list pods, protobuf": (f"{API}/pods", "application/vnd.kubernetes.protobuf"),
    "HPA query": (
        f"{API}/namespaces/ns-3/pods?labelSelector=app%3Dapp-3",
        "application/vnd.kubernetes.protobuf",
    ),
    "get one pod": (f"{API}/namespaces/ns-3/pods/app-7-3", "application/json"),
    "discovery": (API, "application/json"),
}


class Run:
    """A store that is fed by synthetic kubelets, and an app over it."""

    def __init__(self) -> None:
        self.now = 1000.0
        nodes = [synthetic_node(i, PODS, 2) for i in range(NODES)]
        self.sources = [SyntheticSource(each, BEGAN - 3600, changing=True) for each in nodes]
        self.store = MetricsStore(max_age=60.0)
        node_objects, pod_objects = Objects(), Objects()
        self.catalog = Catalog(node_objects, pod_objects, self.store)
        self.app = create_app(catalog=self.catalog, clock=lambda: self.now)
        for each in nodes:
            _add(each, node_objects, pod_objects)

    def bodies(self) -> list[tuple[str, bytes]]:
        """Move on by one period; return every kubelet's answer."""
        self.now += PERIOD
        return [(each.name, each.summary(BEGAN + self.now)) for each in self.sources]

    def put(self, bodies: list[tuple[str, bytes]]) -> None:
        for name, body in bodies:
            times = {"requested_at": self.now - 0.01, "answered_at": self.now}
            self.store.put(decode_summary(name, body, wall_offset=BEGAN, **times))

    def read(self, target: str, accept: str) -> bytes:
        answer = asyncio.run(ask(self.app, target, "GET", {"accept": accept}))
        assert answer.status == 200, answer.body
        return answer.body


def _add(node: SyntheticNode, nodes: Objects, pods: Objects) -> None:
    nodes.set(Node(node.name, node.labels, {}, (), 10250, ready=True))
    for pod in node.pods:
        pods.set(Pod(pod.namespace, pod.name, pod.labels))


def measure() -> dict[str, float]:
    """Return every amount by its name; those with "bytes" in it are bytes."""
    run = Run()
    for _ in range(PERIODS):
        run.put(run.bodies())
        for target, accept in READS.values():  # what is made once is there already
            run.read(target, accept)
    amounts: dict[str, float] = {}
    bodies = run.bodies()
    amounts["scrape: bytes decoded"] = sum(len(body) for _, body in bodies) / NODES
    amounts["scrape: peak bytes allocated"] = max(_peak(run.put, [body]) for body in bodies)
    run.put(run.bodies())  # two readings are kept: what callers were given holds none of them now
    bodies = run.bodies()
    amounts["scrape: blocks kept"] = _kept(lambda: run.put(bodies)) / NODES
    for name, (target, accept) in READS.items():
        run.put(run.bodies())
        amounts[f"{name}: peak bytes allocated after new samples"] = _peak(run.read, target, accept)
        amounts[f"{name}: peak bytes allocated again"] = _peak(run.read, target, accept)
        amounts[f"{name}: bytes sent"] = len(run.read(target, accept))
    for resource in ("nodes", "pods"):
        listed = json.loads(run.read(f"{API}/{resource}", "application/json"))
        amounts[f"list {resource}: items"] = len(listed["items"])
    return amounts


def _peak(work: Callable[..., object], *args: object) -> int:
    """Return the most bytes that a call had allocated at once."""
    gc.collect()
    tracemalloc.start()
    try:
        work(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _kept(work: Callable[[], None]) -> int:
    gc.collect()
    before = sys.getallocatedblocks()
    work()
    gc.collect()
    return max(0, sys.getallocatedblocks() - before)


def main() -> int:
    amounts = measure()
    if os.environ.get("UPDATE"):
        BASELINE.write_text(json.dumps(amounts, indent=1) + "\n")
    stored = json.loads(BASELINE.read_text())
    more = 0
    for name, amount in amounts.items():
        slack = SLACK if "bytes" in name else 1
        grown = name not in stored or amount > stored[name] * TOLERANCE + slack
        more += grown
        print(
            f"{name:<56} {amount:>12,.0f} {stored.get(name, 0):>12,.0f} {'GROWN' if grown else ''}"
        )
    return 1 if more else 0


if __name__ == "__main__":
    sys.exit(main())
