"""As process 1 of a container, where the kernel withholds signals that have no handler."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.conditions import until

NAMESPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")


def _is_there():
    if sys.platform != "linux" or not shutil.which("unshare"):
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not _is_there(), reason="no PID namespace can be made here")


def _child(pid):
    """The only child of a process, as we see it."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def _sleeps(pid):
    """Return whether a process waits in the kernel; its name, the second field, may have spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("S")


async def test_a_pod_that_is_deleted_while_it_starts_does_not_wait_for_its_kill(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # whoever reads it waits: the start lasts as long as the test wants
    # A stand-in for a library that `serve` imports while it starts.
    (tmp_path / "uvloop.py").write_text(f"open({str(pipe)!r}).read()")
    command = [sys.executable, "-m", "metricsapi", "serve"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(*NAMESPACE, *command, env=environment)
    writer = []

    def starting():
        assert process.returncode is None
        try:
            writer.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody reads yet
            return False
        return True

    try:
        await until(starting, seconds=30, what="the start")
        # Until it has gone from open() into read(): Python would see a signal on the way only
        # after read(), which no real file keeps waiting.
        server = _child(process.pid)
        await until(lambda: _sleeps(server), what="the read")
        os.kill(server, signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 128 + signal.SIGTERM
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        for descriptor in writer:
            os.close(descriptor)
