"""The sandbox's folder: one sandbox at a time, readable by its user alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from metricsapi.tools.sandbox.embedded import SandboxError


@contextlib.contextmanager
def owned(directory: Path) -> Iterator[None]:
    """Make the folder, and lock it for this process; the kernel ends the lock with the process.

    Raises SandboxError when it cannot be made or written, or is another sandbox's.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (directory / "lock").open("a+")
    except OSError as error:
        raise SandboxError(f"--state-dir={directory}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise SandboxError(
                f"another sandbox uses {directory} (process {file.read().strip() or 'unknown'}): "
                "end it, or choose another folder with --state-dir"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
