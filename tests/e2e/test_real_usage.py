"""What kubectl shows is what this machine really does."""

import subprocess
import sys
import time

import pytest


def millicores(text):
    """Sum the CPU column of `kubectl top pods -A --no-headers`."""
    return {line.split()[1]: int(line.split()[2].removesuffix("m")) for line in text.splitlines()}


def test_a_busy_process_raises_the_cpu_of_its_pod(sandbox, kubectl):
    burn = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    # A session of its own makes it a process tree of its own.
    busy = subprocess.Popen([sys.executable, "-c", burn], start_new_session=True)
    try:
        before = sum(millicores(kubectl("top", "pods", "-A", "--no-headers")).values())
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            now = millicores(kubectl("top", "pods", "-A", "--no-headers"))
            if sum(now.values()) > before + 300:
                return
            time.sleep(0.5)
        pytest.fail(f"a busy process changed {before}m to {sum(now.values())}m only: {now}")
    finally:
        busy.kill()
        busy.wait()
