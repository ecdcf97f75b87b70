"""The status page on loopback: `metricsapi statusz`, run in the background."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from metricsapi.tools.sandbox.processes import end_child, start_child

_WITHIN = 10.0  # seconds


@contextlib.asynccontextmanager
async def status_page(kubeconfig: Path, port: int) -> AsyncIterator[str]:
    """Show the page of the server on loopback `port`, as the kubeconfig's user; return its URL.

    The URL is empty when the page could not be shown: it is no reason for the sandbox to end.
    """
    process = await start_child(
        sys.executable,
        "-m",
        "metricsapi",
        "statusz",
        f"--kubeconfig={kubeconfig}",
        f"--connect=127.0.0.1:{port}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        line = b""
        if process.stdout is not None:
            with contextlib.suppress(TimeoutError):
                line = await asyncio.wait_for(process.stdout.readline(), _WITHIN)
        yield line.decode().strip()
    finally:
        await end_child(process)
