"""Follows files that others replace: certificates, keys, authorities, tokens.

Files are read again, not watched: a mounted Secret is a symbolic link that changes its target, a
network file system tells of no change, and these files are small.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from metricsapi.kube.progress import Progress, unobserved

T = TypeVar("T")

PERIOD = 5.0  # seconds between two reads
LARGEST = 16 * 2**20  # bytes of one file; a larger one is refused

log = logging.getLogger(__name__)


class FileError(ValueError):
    """A file cannot be read or used; the message names it."""


class MissingFile(FileError):
    """There is no such file."""


def read_file(path: Path, *, once: bool = False) -> bytes:
    """Return the content of a file; `once` also that of a pipe, which can be read only once.

    Such are standard input and a shell's `<(…)`, for whose end it waits. Raises FileError with the
    reason; MissingFile is one.
    """
    try:
        return _read_checked(path, once=once)
    except FileError:
        raise
    except FileNotFoundError:
        raise MissingFile(f"no such file: {path}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"cannot read {path}: {reason}") from None


def _read_checked(path: Path, *, once: bool) -> bytes:
    """Read a file of a kind and size that is accepted. Raises FileError, OSError or ValueError."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise FileError(f"{path} is a folder, not a file")
    _check_kind(path, mode, once=once)
    # It may have become a pipe since, whose end would be waited for.
    flags = os.O_RDONLY | (0 if once else os.O_NONBLOCK)
    with os.fdopen(os.open(path, flags), "rb") as file:
        opened = os.fstat(file.fileno())
        _check_kind(path, opened.st_mode, once=once)
        too_large = opened.st_size > LARGEST  # as the kernel says: nothing of it is read then
        content = b"" if too_large else file.read(LARGEST + 1)
    if too_large or len(content) > LARGEST:
        raise FileError(f"{path} is larger than {LARGEST >> 20} MiB")
    return content


def _check_kind(path: Path, mode: int, *, once: bool) -> None:
    if not once and not stat.S_ISREG(mode):
        raise FileError(f"{path} is a pipe or a device, not a file that can be read again")


def is_pipe(path: Path) -> bool:
    """Return whether a path leads to what can be read only once."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


class FollowedFiles(Generic[T]):
    """The value that some files hold together, parsed again when a content changes.

    `parse` gets the contents in the order of `paths` and raises ValueError, which FileError is,
    for what cannot be used; the last good value stays then. `clock` gives monotonic seconds.
    Calling it is the same as `current()`.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        parse: Callable[[Sequence[bytes]], T],
        *,
        period: float = PERIOD,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Read the files. Raises FileError or what `parse` raises."""
        self.paths = tuple(paths)
        self._parse = parse
        self._period = period
        self._clock = clock or time.monotonic
        self._contents = self._read()
        self._value = parse(self._contents)
        self._read_at = self._clock()
        self._error = ""  # of the last read
        self._reported = ""
        self._failing_since: float | None = None
        self._refused = False  # by whoever follows: the value is good only in itself

    @property
    def value(self) -> T:
        """The last good value, of the last time that the files were read."""
        return self._value

    def current(self) -> T:
        """Return the value; the files are read again first if `period` is over."""
        period = min(self._period, PERIOD) if self._error else self._period
        if self._clock() - self._read_at >= period:
            self.reload()
        return self._value

    __call__ = current

    def expire(self) -> None:
        """Read the files at the next use, as after a server refused what they hold."""
        self._read_at = float("-inf")

    def reload(self) -> bool:
        """Read the files now; return whether the value has changed."""
        self._read_at = self._clock()
        try:
            contents = self._read()
            if contents == self._contents:
                self._error = ""
                if not self._refused:
                    self._works()
                return False
            value = self._parse(contents)
        except ValueError as error:
            self._failed(str(error))
            return False
        self._works()
        self._contents = contents
        changed = value != self._value
        self._value = value
        return changed

    async def follow(self, changed: Callable[[T], None], progress: Progress = unobserved) -> None:
        """Read the files every `period` and call `changed` with each new value, until cancelled.

        `changed` may raise ValueError for a value that cannot be used after all.
        """
        while True:
            await asyncio.sleep(self._period)
            progress()
            if self.reload():
                try:
                    changed(self._value)
                except ValueError as error:
                    self._refused = True
                    self._report(str(error))

    def failing(self) -> tuple[float, str] | None:
        """Return since when (by `clock`) and why what the files hold is not used; None if it is."""
        since = self._failing_since
        return None if since is None else (since, self._reported)

    def _works(self) -> None:
        self._error = self._reported = ""
        self._failing_since, self._refused = None, False

    def _read(self) -> list[bytes]:
        return [read_file(path) for path in self.paths]

    def _failed(self, error: str) -> None:
        """Report a failure that lasts for two reads.

        A rotation replaces the certificate and the key one after the other, and in between they do
        not match.
        """
        if error == self._error:
            self._report(error)
        self._error = error

    def _report(self, error: str) -> None:
        if self._failing_since is None:
            self._failing_since = self._clock()
        if error != self._reported:
            self._reported = error
            files = [str(path) for path in self.paths]
            log.warning(
                "changed files cannot be used, keeping their last good content",
                extra={"data": {"files": files, "error": error}},
            )


class FilesInUse:
    """Files that are read when they are used, such as a token's.

    They are read again, each after its period, also while nothing uses them, so that a failure
    shows where the health of tasks does.
    """

    def __init__(self, files: Iterable[FollowedFiles[Any]]) -> None:
        self._files = tuple(dict.fromkeys(files))

    async def run(self, progress: Progress = unobserved) -> None:
        """Read the files until cancelled."""
        while True:
            await asyncio.sleep(PERIOD)
            progress()
            for files in self._files:
                files.current()

    def failing(self) -> tuple[float, str] | None:
        """Return since when, and why, the content of some is not used; None if all is used."""
        # By path: several may follow one file.
        failing = {files.paths: failure for files in self._files if (failure := files.failing())}
        if not failing:
            return None
        errors = "; ".join(error for _, error in failing.values())
        return min(since for since, _ in failing.values()), errors
