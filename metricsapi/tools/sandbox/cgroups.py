"""What runs on this machine as cgroups v2 see it: services, containers and sessions.

The kernel's own accounting, which a kubelet reads too: `cpu.stat` is cumulative, and the working
set is `memory.current` less the inactive page cache.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_UNIT = re.compile(r"\.(service|scope|socket|mount|swap)$")
_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})")
_LONG_ID = re.compile(r"([0-9a-f]{12})[0-9a-f]{20,}")  # of a container: its first 12 are used


@dataclass(frozen=True)
class Group:
    """One cgroup that stands for a pod. `counter` is in nanocore-seconds, `memory` in bytes."""

    identity: int  # the inode: another one when it is made again under its name
    name: str
    started: float  # epoch seconds
    counter: int
    memory: int


def available(root: Path = ROOT) -> bool:
    """Return whether cgroups v2 account for CPU and memory here, and for more than one group."""
    try:
        controllers = (root / "cgroup.controllers").read_text().split()
    except OSError:
        return False
    return {"cpu", "memory"} <= set(controllers) and any(True for _ in groups(root))


def groups(root: Path = ROOT) -> Iterator[Group]:
    """Yield the groups that are services, containers and sessions, the deepest of each path.

    A unit of systemd counts as a whole, and so does any other group with processes of its own;
    slices, and groups that only hold groups, are walked into.
    """
    for path in sorted(entry for entry in root.iterdir() if entry.is_dir()):
        try:
            if _UNIT.search(path.name) or (not _is_slice(path) and _has_processes(path)):
                yield _read(path)
            else:
                yield from groups(path)
        except OSError:  # it has ended meanwhile, or has no controllers
            continue


def readable(name: str) -> str:
    """Return a name for people: without suffix, escapes, and the long ids of containers."""
    name = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), name)
    return _LONG_ID.sub(r"\1", _UNIT.sub("", name))


def _is_slice(path: Path) -> bool:
    return path.name.endswith(".slice")


def _has_processes(path: Path) -> bool:
    return bool((path / "cgroup.procs").read_text().strip())


def _read(path: Path) -> Group:
    about = path.stat()
    inactive = _fields(path / "memory.stat").get("inactive_file", 0)
    used = int((path / "memory.current").read_text())
    return Group(
        about.st_ino,
        readable(path.name),
        about.st_ctime,
        _fields(path / "cpu.stat")["usage_usec"] * 1000,
        max(0, used - inactive),
    )


def _fields(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {name: int(value) for name, value in pairs}
