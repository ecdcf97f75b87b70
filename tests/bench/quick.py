"""`make bench-quick`: counts of work instead of times, held against a stored baseline.

Times differ from machine to machine; how many bytes are decoded, how many items are encoded, how
many functions are called and how much memory is asked for do not. What grows beyond the baseline by
more than a tenth fails; what shrinks should be stored: `make bench-quick UPDATE=1`.
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
from metricsapi.scrape.summary import decode_summary
from metricsapi.storage.store import MetricsStore
from metricsapi.tools.sandbox.synthetic import SyntheticNode, synthetic_node
from metricsapi.tools.sandbox.template import SyntheticSource
from tests.api.cluster import Objects, ask

BASELINE = Path(__file__).parent / "baseline.json"
TOLERANCE = 1.1
NODES, PODS, TURNS = 20, 30, 12
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


class Calls:
    """Counts the calls of Python functions while it is entered."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Calls:  # noqa: PYI034
        def see(_frame: object, event: str, _argument: object) -> None:
            self.count += event == "call"

        sys.setprofile(see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


class Run:
    """A store that is fed by synthetic kubelets, and an app over it."""

    def __init__(self) -> None:
        self.now = 1000.0
        nodes = [synthetic_node(i, PODS, 2) for i in range(NODES)]
        self.sources = [SyntheticSource(one, BEGAN - 3600, changing=True) for one in nodes]
        self.store = MetricsStore(max_age=60.0)
        node_objects, pod_objects = Objects(), Objects()
        self.catalog = Catalog(node_objects, pod_objects, self.store)
        self.app = create_app(catalog=self.catalog, clock=lambda: self.now)
        for one in nodes:
            _add(one, node_objects, pod_objects)

    def bodies(self) -> list[tuple[str, bytes]]:
        """Move on by one period; give every kubelet's answer."""
        self.now += PERIOD
        return [(one.name, one.summary(BEGAN + self.now)) for one in self.sources]

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
    """Give every count by its name."""
    run = Run()
    for _ in range(TURNS):
        run.put(run.bodies())
    found: dict[str, float] = {}
    bodies = run.bodies()
    found["scrape: bytes decoded"] = sum(len(body) for _, body in bodies) / NODES
    with Calls() as calls:
        run.put(bodies)
    found["scrape: calls"] = calls.count / NODES
    bodies = run.bodies()
    found["scrape: blocks kept"] = _kept(lambda: run.put(bodies)) / NODES
    for name, (target, accept) in READS.items():
        run.put(run.bodies())
        first, body = _calls(run, target, accept)
        again, _ = _calls(run, target, accept)
        found[f"{name}: calls after new samples"] = first
        found[f"{name}: calls again"] = again
        found[f"{name}: bytes"] = len(body)
    run.read(*READS["list pods, JSON"])
    before = _encoded(run)
    run.read(*READS["list pods, JSON"])
    found["list pods, JSON: items encoded again"] = len(_encoded(run) - before)
    tracemalloc.start()
    run.read(*READS["list pods, JSON"])
    found["list pods, JSON: peak bytes allocated"] = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def _calls(run: Run, target: str, accept: str) -> tuple[int, bytes]:
    with Calls() as calls:
        body = run.read(target, accept)
    return calls.count, body


def _kept(work: Callable[[], None]) -> int:
    gc.collect()
    before = sys.getallocatedblocks()
    work()
    gc.collect()
    return max(0, sys.getallocatedblocks() - before)


def _encoded(run: Run) -> set[int]:
    """The encodings that are kept, by identity."""
    namespaces = run.catalog.pods.namespaces.values()
    return {id(entry.json) for one in namespaces for entry in one.entries.values()}


def main() -> int:
    found = measure()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    baselines = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    if os.environ.get("UPDATE"):
        baselines[version] = found
        BASELINE.write_text(json.dumps(baselines, indent=1) + "\n")
    if version not in baselines:
        print(f"no baseline for Python {version}: store one with UPDATE=1", file=sys.stderr)
        return 1
    worse = 0
    for name, value in found.items():
        stored = baselines[version].get(name, 0)
        grown = value > stored * TOLERANCE + 2
        worse += grown
        print(f"{name:<48} {value:>12,.0f} {stored:>12,.0f} {'GROWN' if grown else ''}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
