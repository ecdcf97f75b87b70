"""Nodes of other runtimes and systems, and static pods: served like any other.

The answers are shaped as KUBERNETES.md's facts and the kubelet's own types say: cAdvisor behind
CRI-O (housekeeping times, no swap), Windows (no RSS, page faults or swap), a runtime that reads CPU
and memory at times of its own, and static pods, whose uid is not their mirror pod's.
"""

import json
from datetime import UTC, datetime

import pytest

from metricsapi.api.catalog import Catalog
from metricsapi.kube.resources import Pod
from metricsapi.storage.store import MetricsStore
from tests.api.cluster import Objects
from tests.support.decoding import decode_summary

EPOCH = 1_795_424_640.0
CORE = 10**9  # nanocores


def at(seconds):
    return datetime.fromtimestamp(EPOCH + int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def counter(seconds):
    return int(10**12 + seconds * 0.25 * CORE)


def crio(now):
    read = now // 10 * 10 + 3 if now % 10 >= 3 else now // 10 * 10 - 7  # housekeeping, each 10 s
    return {
        "cpu": {
            "time": at(read),
            "usageNanoCores": CORE // 4,
            "usageCoreNanoSeconds": counter(read),
        },
        "memory": {
            "time": at(read),
            "usageBytes": 9_000_000,
            "workingSetBytes": 8_388_608,
            "rssBytes": 7_000_000,
            "pageFaults": 1,
            "majorPageFaults": 0,
        },
    }


def windows(now):
    return {
        "cpu": {
            "time": at(now),
            "usageNanoCores": CORE // 4,
            "usageCoreNanoSeconds": counter(now),
        },
        "memory": {"time": at(now), "availableBytes": 0, "workingSetBytes": 8_388_608},
        "rootfs": None,
        "logs": {"time": at(now), "capacityBytes": 1},
        "userDefinedMetrics": None,
    }


def by_the_runtime(now):
    stats = windows(now)
    stats["memory"]["time"] = at(now - 4)
    stats["cpu"]["psi"] = {"full": {"total": 1, "avg10": 0.5}, "some": None}
    stats["io"] = {"time": at(now), "psi": {}}
    stats["swap"] = {"time": at(now), "swapUsageBytes": 0}
    return stats


def summary(now, stats, *, uid="8a1b", name="web-0", namespace="shop"):
    container = {"name": "app", "startTime": at(-900), **stats(now)}
    return json.dumps(
        {
            "node": {"nodeName": "n", "startTime": at(-9000), "cpu": None, "runtime": {}},
            "pods": [
                {
                    "podRef": {"name": name, "namespace": namespace, "uid": uid},
                    "startTime": at(-900),
                    "containers": [container],
                    "network": {"name": "", "interfaces": None},
                    "process_stats": {},
                }
            ],
        }
    ).encode()


def served(answers, key=("shop", "web-0")):
    """Return what a list would show of the pod after these (seconds, body)."""
    store, pods = MetricsStore(max_age=60.0), Objects()
    catalog = Catalog(Objects(), pods, store)
    pods.set(Pod(*key, {}))
    for now, body in answers:
        store.put(
            decode_summary(
                "n",
                body,
                requested_at=now + 0.2,
                answered_at=now + 0.3,
                wall_offset=EPOCH,
            )
        )
    return catalog.pod_usages([catalog.pods.get(*key)], answers[-1][0] + 0.4)[0]


@pytest.mark.parametrize("stats", [crio, windows, by_the_runtime])
def test_other_runtimes(stats):
    for count in (1, 2, 12):
        usage = served([(15.0 * k, summary(15.0 * k, stats)) for k in range(count)])
        (container,) = usage.containers
        assert container.cpu == pytest.approx(CORE / 4, rel=0.02)
        assert (container.memory, container.swap) == (8_388_608, None)
        assert usage.window > 0


def test_a_static_pod_is_joined_by_name():
    """Its uid in the Summary is its manifest's hash; the mirror pod has one of its own."""
    key = ("kube-system", "kube-proxy-n")
    body = summary(
        0.0, windows, uid="3f2504e04f8911d39a0c0305e82c3301", name=key[1], namespace=key[0]
    )
    assert served([(0.0, body)], key).containers[0].cpu == CORE // 4
