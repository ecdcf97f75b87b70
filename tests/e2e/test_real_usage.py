"""What kubectl shows is what this machine really does."""

import subprocess
import sys
import time

import pytest

BURN = """
import sys, time
sys.stdin.readline()
end = time.monotonic() + 60
while time.monotonic() < end:
    pass
"""


def test_a_busy_process_raises_the_cpu_of_its_pod(sandbox, kubectl):
    """A process that leads a session is a pod: idle at first, then busy."""
    busy = subprocess.Popen(
        [sys.executable, "-c", BURN], stdin=subprocess.PIPE, start_new_session=True
    )

    def millicores():
        shown = kubectl("top", "pods", "-n", "host", "--no-headers", check=False).splitlines()
        matching = [line.split() for line in shown if line.split()[0].endswith(f"-{busy.pid}")]
        return int(matching[0][1].removesuffix("m")) if matching else None

    def wait(condition, what):
        deadline = time.monotonic() + 40
        while not condition(now := millicores()):
            assert time.monotonic() < deadline, f"{what}, not {now}"
            time.sleep(0.3)
        return now

    try:
        wait(lambda now: now is not None and now < 50, "an idle process is shown idle")
        busy.stdin.write(b"go\n")
        busy.stdin.flush()
        # The machine may be busy otherwise: a share of a core is enough to see it.
        wait(lambda now: now is not None and now > 200, "a busy process is shown busy")
    except AssertionError as error:
        pytest.fail(str(error))
    finally:
        busy.kill()
        busy.wait()
        busy.stdin.close()
