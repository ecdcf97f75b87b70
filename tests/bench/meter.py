"""The CPU time and memory of a process, by /proc: with all its threads and descendants."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICK = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """Resident memory now and at its highest, in bytes."""

    resident: int
    peak: int


class Meter:
    """The CPU time and memory of one process and its descendants."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def cpu_seconds(self) -> float:
        """CPU seconds used so far by all threads, user and system, ended ones included."""
        return sum(_cpu(pid) for pid in self._pids())

    def memory(self) -> Memory:
        statuses = [_status(pid) for pid in self._pids()]
        return Memory(
            sum(status.get("VmRSS", 0) for status in statuses) * 1024,
            sum(status.get("VmHWM", 0) for status in statuses) * 1024,
        )

    def _pids(self) -> list[int]:
        pids, pending = [], [self.pid]
        while pending:
            pid = pending.pop()
            pids.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                pending.extend(int(child) for child in task.read_text().split())
        return pids


def _cpu(pid: int) -> float:
    """Nanosecond counters of the living threads where that is more than the tick counters say.

    `stat` counts in ticks of 10 ms and includes ended threads; `schedstat` counts nanoseconds of
    the living ones. The server starts its threads once, so the second is nearly always exact.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = (int(fields[11]) + int(fields[12])) * TICK
    exact = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        exact += int(path.read_text().split()[0])
    exact_seconds = exact / 1e9
    return exact_seconds if abs(exact_seconds - ticks) < 0.05 + 0.02 * ticks else ticks


def _status(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if line.startswith("Vm"))
    return {name: int(value.split()[0]) for name, value in pairs}
