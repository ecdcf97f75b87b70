"""Reads the usage of this machine, as a node, and of what runs on it, as pods.

Pods are cgroups v2 where they account for CPU and memory. Elsewhere a process tree is a pod: a
child of init (or of the process that started this sandbox's session) and all its descendants.
Counters never go back while a pod lives: what an ended process had used stays in its pod's sum.
"""

from __future__ import annotations

import os
import platform
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from metricsapi.tools.sandbox import cgroups

NANO = 1_000_000_000
_UNSAFE = re.compile(r"[^a-z0-9-]+")


def host_uid(identity: int, started: float) -> str:
    """Return the uid of a pod of this machine by its key in `Host.pods`."""
    return f"{identity}-{int(started)}"


@dataclass
class HostPod:
    """One process tree. `counter` is in nanocore-seconds, `memory` in bytes."""

    name: str
    container: str
    started: float
    counter: int = 0
    memory: int = 0
    rate: int = 0  # nanocores over the last reading
    _seen: dict[int, float] = field(default_factory=dict)
    _ended: float = 0.0

    def read(self, processes: list[psutil.Process], elapsed: float) -> None:
        """Read the tree's processes, `elapsed` seconds after the last reading."""
        now: dict[int, float] = {}
        memory = 0
        for process in processes:
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    now[process.pid] = times.user + times.system
                    memory += process.memory_info().rss
            except psutil.Error:
                continue
        self._ended += sum(used for pid, used in self._seen.items() if pid not in now)
        self._seen = now
        self.set(round((self._ended + sum(now.values())) * NANO), memory, elapsed)

    def set(self, counter: int, memory: int, elapsed: float) -> None:
        """Store a reading (nanocore-seconds, bytes); a counter never goes back.

        The kernel counts a process in ticks of 10 ms. A kubelet counts nanoseconds, so its counter
        of what runs is never 0.
        """
        counter = max(self.counter, counter, 1)
        self.rate = round((counter - self.counter) / elapsed) if elapsed > 0 else 0
        self.counter, self.memory = counter, memory


class Host:
    """This machine as one node."""

    def __init__(self, root: Path = cgroups.ROOT) -> None:
        self._cgroups = root
        self._by_cgroup = cgroups.available(root)
        self.name = host_name()
        self.started = psutil.boot_time()
        self.pods: dict[tuple[int, float], HostPod] = {}
        self.counter = 0
        self.rate = 0
        self.memory = 0
        self.read_at = 0.0
        self._roots: dict[tuple[int, float], int] = {}

    def read(self, now: float) -> None:
        """Read everything; `now` is in epoch seconds."""
        elapsed = now - self.read_at if self.read_at else 0.0
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - getattr(times, "iowait", 0.0)
        busy -= getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        counter = max(self.counter, round(busy * NANO))
        self.rate = round((counter - self.counter) / elapsed) if elapsed > 0 else 0
        self.counter = counter
        self.memory = working_set()
        if self._by_cgroup:
            self._read_cgroups(elapsed)
        else:
            self._read_processes(elapsed)
        self.read_at = now

    def _read_cgroups(self, elapsed: float) -> None:
        current = {(each.identity, each.started): each for each in cgroups.groups(self._cgroups)}
        for key in self.pods.keys() - current.keys():
            del self.pods[key]
        for key, each in current.items():
            pod = self.pods.get(key)
            if pod is None:
                label = safe(each.name) or "group"
                taken = {other.name for other in self.pods.values()}
                name = f"{label}-{key[0]}" if label in taken else label
                pod = self.pods[key] = HostPod(name, label, each.started)
                pod.counter = each.counter  # what it used before has no rate of ours
            pod.set(each.counter, each.memory, elapsed)

    def _read_processes(self, elapsed: float) -> None:
        trees = _trees()
        for key in self.pods.keys() - trees.keys():
            del self.pods[key]
        for key, processes in trees.items():
            pod = self.pods.get(key)
            if pod is None:
                command = _command(processes[0])
                pod = HostPod(f"{command}-{key[0]}", command, key[1])
                self.pods[key] = pod
            pod.read(processes, elapsed)

    def info(self) -> dict[str, str]:
        """Return a node's `nodeInfo`."""
        try:
            release = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
        except OSError:
            release = platform.system()
        return {
            "osImage": release,
            "kernelVersion": platform.release(),
            "containerRuntimeVersion": "processes://1",
            "kubeletVersion": "v1.36.0+metricsapi-sandbox",
            "operatingSystem": "linux",
            "architecture": "amd64" if platform.machine() == "x86_64" else platform.machine(),
        }


def working_set() -> int:
    """Return the machine's working set in bytes: what is used less the inactive page cache."""
    fields = {}
    with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
        for line in file:
            name, _, rest = line.partition(":")
            fields[name] = int(rest.split()[0]) * 1024
    usage = fields["MemTotal"] - fields["MemFree"]
    return max(0, usage - fields.get("Inactive(file)", 0))


def _trees() -> dict[tuple[int, float], list[psutil.Process]]:
    """Group the processes by their topmost ancestor below init, kernel threads left out."""
    parents: dict[int, int] = {}
    processes: dict[int, psutil.Process] = {}
    for process in psutil.process_iter(["ppid"]):
        if process.pid == 2 or process.info["ppid"] == 2:
            continue  # kernel threads
        parents[process.pid] = process.info["ppid"]
        processes[process.pid] = process
    current: dict[tuple[int, float], list[psutil.Process]] = {}
    for pid in sorted(processes):
        root = _root(pid, parents)
        if root not in processes:
            continue
        try:
            key = (root, processes[root].create_time())
        except psutil.Error:
            continue
        if pid == root:
            current.setdefault(key, []).insert(0, processes[pid])
        else:
            current.setdefault(key, []).append(processes[pid])
    return current


def _root(pid: int, parents: dict[int, int]) -> int:
    """A process that leads a session of its own begins a tree; else its parent's tree is its."""
    while True:
        parent = parents.get(pid, 0)
        if parent in (0, 1) or parent not in parents or _leads_session(pid):
            return pid
        pid = parent


def _leads_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except OSError:
        return False


def _command(process: psutil.Process) -> str:
    try:
        return safe(process.name()) or "process"
    except psutil.Error:
        return "process"


def host_name() -> str:
    """Return this machine's name as a node's."""
    return safe(socket.gethostname()) or "localhost"


def safe(name: str) -> str:
    """Make a DNS label of a name (RFC 1123)."""
    return _UNSAFE.sub("-", name.lower()).strip("-")[:50].strip("-")
