"""Starts child processes that do not outlive the sandbox, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


async def start_child(*command: str, **options: Any) -> asyncio.subprocess.Process:
    """Start a command; `options` are those of `asyncio.create_subprocess_exec`.

    The command has a session of its own, so that Ctrl-C goes to the sandbox alone, which then ends
    it in order. When the sandbox is killed, the kernel kills the command too (Linux only).
    """
    return await asyncio.create_subprocess_exec(
        *command, start_new_session=True, preexec_fn=_tied_to(os.getpid()), **options
    )


async def end_child(process: asyncio.subprocess.Process) -> None:
    """End a command by SIGTERM, or by SIGKILL when it takes longer than 10 s."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 10.0)
    except TimeoutError:
        process.kill()
        await process.wait()


def _tied_to(parent: int) -> Callable[[], None] | None:
    return partial(_die_with, parent) if _LIBC is not None else None


def _die_with(parent: int) -> None:
    """Ask the kernel for SIGKILL at the parent's end; runs in the child, before the command."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)
