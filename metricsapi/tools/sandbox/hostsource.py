"""This machine's kubelet: the host's readings as the Summary and `/metrics/resource` have them."""

from __future__ import annotations

import json
from typing import Any

import psutil

from metricsapi.tools.sandbox.host import Host, HostPod, host_uid
from metricsapi.tools.sandbox.state import timestamp


class HostSource:
    """This machine; everything is read while a request is served, as over containerd."""

    namespace = "host"

    def __init__(self, host: Host) -> None:
        self.name = host.name
        self.host = host

    def summary(self, now: float, *, full: bool = False) -> bytes:
        """Return the Summary as a kubelet writes it: whole seconds, JSON indented by one space."""
        host = self.host
        host.read(now)
        node: dict[str, Any] = {"nodeName": host.name, "startTime": timestamp(host.started)}
        node |= _stat(now, host.rate, host.counter, host.memory)
        node["swap"] = _swap(now)
        if full:
            node["fs"] = _disk(now)
        pods = [self._pod(pid, pod, now) for (pid, _), pod in host.pods.items()]
        return json.dumps({"node": node, "pods": pods}, indent=1).encode()

    def _pod(self, pid: int, pod: HostPod, now: float) -> dict[str, Any]:
        start, uid = timestamp(pod.started), host_uid(pid, pod.started)
        stat = _stat(now, pod.rate, pod.counter, pod.memory)
        return {
            "podRef": {"name": pod.name, "namespace": self.namespace, "uid": uid},
            "startTime": start,
            "containers": [{"name": pod.container, "startTime": start} | stat],
        }

    def exposition(self, now: float) -> bytes:
        """Return `/metrics/resource`: seconds and bytes, each with its time in milliseconds."""
        host, stamp = self.host, int(now * 1000)
        host.read(now)
        cpu, memory, start = [], [], []
        for pod in host.pods.values():
            labels = (
                f'{{container="{pod.container}",namespace="{self.namespace}",pod="{pod.name}"}}'
            )
            seconds = pod.counter / 1e9
            cpu.append(f"container_cpu_usage_seconds_total{labels} {seconds!r} {stamp}")
            memory.append(f"container_memory_working_set_bytes{labels} {pod.memory} {stamp}")
            start.append(f"container_start_time_seconds{labels} {pod.started!r}")
        lines = [
            "# TYPE container_cpu_usage_seconds_total counter",
            *cpu,
            "# TYPE container_memory_working_set_bytes gauge",
            *memory,
            "# TYPE container_start_time_seconds gauge",
            *start,
            "# TYPE node_cpu_usage_seconds_total counter",
            f"node_cpu_usage_seconds_total {host.counter / 1e9!r} {stamp}",
            "# TYPE node_memory_working_set_bytes gauge",
            f"node_memory_working_set_bytes {host.memory} {stamp}",
            "",
        ]
        return "\n".join(lines).encode()


def _stat(at: float, rate: int, counter: int, memory: int) -> dict[str, Any]:
    when = timestamp(at)
    return {
        "cpu": {"time": when, "usageNanoCores": rate, "usageCoreNanoSeconds": counter},
        "memory": {"time": when, "workingSetBytes": memory},
    }


def _swap(at: float) -> dict[str, Any]:
    swap = psutil.swap_memory()
    return {
        "time": timestamp(at),
        "swapAvailableBytes": swap.free,
        "swapUsageBytes": swap.used,
    }


def _disk(at: float) -> dict[str, Any]:
    usage = psutil.disk_usage("/")
    return {
        "time": timestamp(at),
        "availableBytes": usage.free,
        "capacityBytes": usage.total,
        "usedBytes": usage.used,
    }
