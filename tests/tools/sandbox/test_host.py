"""This machine as a node: cgroups v2 where there are some, else process trees."""

import subprocess
import sys
import time

import psutil
import pytest

from metricsapi.tools.sandbox import cgroups
from metricsapi.tools.sandbox.host import Host, HostPod

ID = "0123456789ab" + "c" * 52


def group(path, *, cpu=1_000_000, memory=2**26, inactive=2**24, processes="1\n"):
    """A cgroup as the kernel shows one; `cpu` in microseconds."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "cgroup.procs").write_text(processes)
    (path / "cpu.stat").write_text(f"usage_usec {cpu}\nuser_usec 0\n")
    (path / "memory.current").write_text(f"{memory}\n")
    (path / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\n")


@pytest.fixture
def root(tmp_path):
    """What a machine with systemd and containers looks like."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    group(tmp_path / "init.scope")
    group(tmp_path / "system.slice", processes="")
    group(tmp_path / "system.slice" / "ssh.service")
    group(tmp_path / "system.slice" / "ssh.service" / "inner")
    group(tmp_path / "system.slice" / f"docker-{ID}.scope", cpu=5_000_000)
    group(tmp_path / "user.slice" / "user-1000.slice" / "session-3.scope")
    group(tmp_path / "user.slice" / "user-1000.slice" / "dev-disk\\x2dby.mount")
    group(tmp_path / "docker", processes="")
    group(tmp_path / "docker" / ID)
    return tmp_path


def test_services_containers_and_sessions_are_found_by_readable_names(root):
    actual = [each.name for each in cgroups.groups(root)]
    assert sorted(actual) == [
        "0123456789ab",
        "dev-disk-by",
        "docker-0123456789ab",
        "init",
        "session-3",
        "ssh",
    ]


def test_memory_is_the_working_set_and_cpu_is_cumulative(root):
    docker = next(each for each in cgroups.groups(root) if each.name.startswith("docker-"))
    assert docker.memory == 2**26 - 2**24
    assert docker.counter == 5 * 10**9


def test_what_has_run_for_less_than_a_tick_has_used_some_cpu():
    pod = HostPod("idle", "idle", 1.7e9)
    pod.set(0, 2**20, 1.0)
    assert pod.counter > 0
    used = pod.counter
    pod.set(0, 2**20, 1.0)
    assert (pod.counter, pod.rate) == (used, 0)


def test_pods_follow_the_groups(root):
    host = Host(root)
    host.read(1000.0)
    ssh = next(pod for pod in host.pods.values() if pod.name == "ssh")
    group(root / "system.slice" / "ssh.service", cpu=6_000_000)
    (root / "user.slice" / "user-1000.slice" / "session-3.scope" / "cgroup.procs").unlink()
    host.read(1010.0)
    assert ssh.rate == 5 * 10**8  # five seconds of CPU in ten
    assert len({pod.name for pod in host.pods.values()}) == len(host.pods)


def test_two_groups_of_one_name_are_two_pods(root):
    group(root / "user.slice" / "user-1001.slice" / "session-3.scope")
    host = Host(root)
    host.read(1000.0)
    names = [pod.name for pod in host.pods.values() if pod.name.startswith("session-3")]
    assert len(names) == len(set(names)) == 2


@pytest.mark.parametrize("controllers", [None, "cpuset io\n"])
def test_without_controllers_process_trees_are_the_pods(tmp_path, controllers):
    if controllers:
        (tmp_path / "cgroup.controllers").write_text(controllers)
    assert not cgroups.available(tmp_path)


# Uses CPU time of its own, however busy the machine is, then waits for a line to end. More than is
# waited for: the kernel tells user and system time in whole hundredths of a second, cut off.
BUSY = """
import sys, time
while time.process_time() < 0.4:
    pass
sys.stdin.readline()
"""
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])\ninput()"


def test_a_process_tree_is_a_pod_and_its_counter_never_goes_back(tmp_path):
    """What a child used stays counted when it has ended."""
    host = Host(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, start_new_session=True
    )
    seen = []

    def pod():
        host.read(time.time())
        return next((each for (pid, _), each in host.pods.items() if pid == child.pid), None)

    def read_until(condition, what):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, what
            if actual := pod():
                seen.append(actual.counter)

    try:
        read_until(lambda: seen and seen[-1] >= 3 * 10**8, "the CPU time of a child's child")
        child.stdin.write(b"\n")
        child.stdin.flush()
        read_until(lambda: not _has_children(child.pid), "the end of the child's child")
        assert seen == sorted(seen)
        assert pod().counter >= seen[-1]
    finally:
        child.kill()
        child.communicate()
    assert pod() is None


def _has_children(pid):
    return bool(psutil.Process(pid).children())
