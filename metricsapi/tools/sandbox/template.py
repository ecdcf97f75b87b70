"""A synthetic node's responses, formatted from a prepared text: thousands of kubelets in a process.

Only times and numbers differ from one response to the next, so everything else is made once.
"""

from __future__ import annotations

import functools
import json
import math
import re
from dataclasses import dataclass, replace
from random import Random
from typing import Any
from zlib import crc32

from metricsapi.tools.sandbox.loads import (
    HOUSEKEEPING,
    MILLISECONDS,
    Load,
    Moment,
    load_of,
    stepping_load,
)
from metricsapi.tools.sandbox.state import timestamp
from metricsapi.tools.sandbox.synthetic import SyntheticNode, SyntheticPod, synthetic_uid

# Where a time stands, or a number, in each response; and a text that stays.
_SLOT = re.compile(rb'"([@#$])"')
_SLOTS = {b"@": b'"%%b"', b"#": b"%%d", b"$": b'"%b"'}
DAY = 86400

SWAP_AVAILABLE, SWAP_USED = 2**30, 2**24  # bytes, where there is swap
ROOTFS, LOGS = 40960, 8192  # bytes, of each container
DISK = 256 * 2**30


class SyntheticSource:
    """The Summary and `/metrics/resource` of one synthetic node.

    Container stats are read while a request is served, node stats by housekeeping, as with a
    kubelet over containerd, and each response lists pods and containers in another order, as its
    maps do. Counters are the integral of the usage since `started`, which is constant, or swings if
    `changing`, or steps every `step` seconds; each container was started at a time of its own
    before that, and was idle.
    """

    def __init__(
        self,
        node: SyntheticNode,
        started: float,
        *,
        changing: bool = False,
        swap: bool = False,
        step: float = 0.0,
        housekeeping: float = HOUSEKEEPING,
    ) -> None:
        """Take what the node is; `housekeeping` is its least period, in seconds."""
        self.name = node.name
        self.node = node
        self.started = started
        self.changing = changing
        self.step = step
        self._period = housekeeping * (1 + (node.index % 11) / 11)
        self._phase = float(node.index % 89)
        self._random = Random(node.index)
        self._load = self._load_of(node.cpu, node.memory)
        own = (node.name, timestamp(started - DAY))
        self._node = _node_form(swap=swap) % tuple(text.encode() for text in own)
        self._swap = swap
        # Each with its containers in both orders, side by side.
        self._pods = [self._prepared(pod, step) for pod in node.pods for step in (1, -1)]

    def summary(self, now: float, *, full: bool = False) -> bytes:
        """Return the Summary at `now`, the kubelet's own clock in epoch seconds."""
        here, earlier = self._moment(now), self._moment(self._housekeeping(now))
        node = self._node % tuple(earlier.stats([self._load]))
        order = [2 * i + self._random.getrandbits(1) for i in range(len(self.node.pods))]
        self._random.shuffle(order)
        pods = b",\n  ".join(
            [
                pod.template % (*here.stats(pod.containers), *earlier.stats(pod.whole))
                for pod in [self._pods[i] for i in order]
            ]
        )
        body = b'{\n "node": %b,\n "pods": [\n  %b\n ]\n}' % (node, pods)
        return _add_storage(json.loads(body), now) if full else body

    def replace(self, old: str, new: str) -> None:
        """Replace the pod of a name by another, which differs in its name alone."""
        pods = list(self.node.pods)
        at = next(number for number, pod in enumerate(pods) if pod.name == old)
        pods[at] = replace(pods[at], name=new)
        self.node = replace(self.node, pods=tuple(pods))
        self._pods[2 * at : 2 * at + 2] = [self._prepared(pods[at], step) for step in (1, -1)]

    def exposition(self, now: float) -> bytes:
        """Return `/metrics/resource`: seconds and bytes, each with its time in milliseconds."""
        at = self._housekeeping(now)
        here, earlier = self._moment(now), self._moment(at)
        cpu = ["# TYPE container_cpu_usage_seconds_total counter"]
        memory = ["# TYPE container_memory_working_set_bytes gauge"]
        start = ["# TYPE container_start_time_seconds gauge"]
        stamp = int(now * 1000)
        for pod in self.node.pods:
            for number, (name, rate, size) in enumerate(pod.containers):
                labels = f'{{container="{name}",namespace="{pod.namespace}",pod="{pod.name}"}}'
                load = self._load_of(rate, size)
                seconds = here.counter(load) / 1e9
                cpu.append(f"container_cpu_usage_seconds_total{labels} {seconds!r} {stamp}")
                used = here.memory(load)
                memory.append(f"container_memory_working_set_bytes{labels} {used} {stamp}")
                since = self.started - _earlier(pod, number)
                start.append(f"container_start_time_seconds{labels} {since!r}")
        stamp, seconds = int(at * 1000), earlier.counter(self._load) / 1e9
        node = [
            "# TYPE node_cpu_usage_seconds_total counter",
            f"node_cpu_usage_seconds_total {seconds!r} {stamp}",
            "# TYPE node_memory_working_set_bytes gauge",
            f"node_memory_working_set_bytes {earlier.memory(self._load)} {stamp}",
        ]
        return "\n".join([*cpu, *memory, *start, *node, ""]).encode()

    def counter(self, mean: int, now: float) -> int:
        """Return the CPU counter in nanocore-seconds of something that uses `mean` nanocores."""
        return self._moment(now).counter(self._load_of(mean, 0))

    def _moment(self, now: float) -> Moment:
        return Moment(now, now - self.started, changing=self.changing, step=self.step)

    def _load_of(self, cpu: int, memory: int) -> Load:
        if self.step:
            return stepping_load(cpu, memory // MILLISECONDS * MILLISECONDS)
        return load_of(cpu, memory, self._phase if self.changing else None)

    def _prepared(self, pod: SyntheticPod, step: int) -> _Pod:
        containers = pod.containers[::step]
        own = _own(pod, step, self.started)
        cpu = sum(rate for _, rate, _ in containers)
        memory = sum(size for _, _, size in containers)
        return _Pod(
            _pod_form(len(containers), swap=self._swap) % tuple(text.encode() for text in own),
            [self._load_of(rate, size) for _, rate, size in containers],
            [self._load_of(cpu, memory)],
        )

    def _housekeeping(self, now: float) -> float:
        """Return when housekeeping last read the node's own stats."""
        return math.floor((now - self._phase) / self._period) * self._period + self._phase


@dataclass(frozen=True)
class _Pod:
    """One pod with its containers in one of two orders."""

    template: bytes
    containers: list[Load]
    whole: list[Load]  # the pod's own


@functools.lru_cache(maxsize=64)
def _node_form(*, swap: bool) -> bytes:
    """Return a node's part of a Summary: see `_form`. Its own are name and start."""
    return _form({"nodeName": "$", "startTime": "$", **_stats(swap, psi=True)}, depth=1)


@functools.lru_cache(maxsize=64)
def _pod_form(containers: int, *, swap: bool) -> bytes:
    """Return the part of a pod of so many containers: see `_form`, and `_own` for its own."""
    container = {"name": "$", "startTime": "$", **_stats(swap)}
    pod = {
        "podRef": {"name": "$", "namespace": "$", "uid": "$"},
        "startTime": "$",
        "containers": [container] * containers,
        **_stats(swap, psi=True),
    }
    return _form(pod, depth=2)


def _form(skeleton: dict[str, Any], depth: int) -> bytes:
    """Return a text to format twice: with what is a pod's own, then with each response's stats.

    `$` stands for a text of the pod, `@` and `#` for a time and a number of a response. Texts are
    indented as so deep in a document.
    """
    text = json.dumps(skeleton, indent=1).replace("\n", "\n" + depth * " ").encode()
    return _SLOT.sub(lambda slot: _SLOTS[slot[1]], text)


def _earlier(pod: SyntheticPod, container: int) -> int:
    """Return the seconds from a container's start to `started`; pods started during that day."""
    return crc32(pod.name.encode()) % DAY - container


def _own(pod: SyntheticPod, step: int, started: float) -> list[str]:
    """Return the texts of a pod that stay, in their order in a Summary."""
    starts = [timestamp(started - _earlier(pod, n)) for n in range(len(pod.containers))]
    named = [(name, start) for (name, _, _), start in zip(pod.containers, starts, strict=True)]
    containers = [text for each in named[::step] for text in each]
    return [pod.name, pod.namespace, synthetic_uid(pod.name), starts[0], *containers]


def _stats(swap: bool, *, psi: bool = False) -> dict[str, Any]:
    """Return what a kubelet reports of a node, a pod (with pressure) or a container."""
    none = {"total": 0, "avg10": 0, "avg60": 0, "avg300": 0}
    pressure = {"psi": {"full": none, "some": none}} if psi else {}
    cpu = {"time": "@", "usageNanoCores": "#", "usageCoreNanoSeconds": "#", **pressure}
    memory = {
        "time": "@",
        "availableBytes": 0,
        "usageBytes": 536870912,
        "workingSetBytes": "#",
        "rssBytes": 268435456,
        "pageFaults": 1465226,
        "majorPageFaults": 14,
        **pressure,
    }
    swapped = {
        "time": "2026-01-01T00:00:00Z",
        "swapAvailableBytes": SWAP_AVAILABLE if swap else 0,
        "swapUsageBytes": SWAP_USED if swap else 0,
    }
    return {"cpu": cpu, "memory": memory, "swap": swapped}


def _add_storage(summary: dict[str, Any], now: float) -> bytes:
    """Return the full form: with the file systems that `only_cpu_and_memory` leaves out."""

    def used(size: int) -> dict[str, Any]:
        return {
            "time": timestamp(now),
            "availableBytes": DISK // 2,
            "capacityBytes": DISK,
            "usedBytes": size,
            "inodesFree": 16209560,
            "inodes": 16777216,
            "inodesUsed": 13,
        }

    summary["node"]["fs"] = used(DISK // 2)
    summary["node"]["runtime"] = {"imageFs": used(DISK // 8), "containerFs": used(DISK // 8)}
    for pod in summary["pods"]:
        for container in pod["containers"]:
            container["rootfs"] = used(ROOTFS)
            container["logs"] = used(LOGS)
        size = (ROOTFS + LOGS) * len(pod["containers"])
        pod["ephemeral-storage"] = used(size)
        pod["volume"] = [{**used(12288), "name": "kube-api-access"}]
    return json.dumps(summary, indent=1).encode()
