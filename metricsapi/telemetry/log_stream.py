"""Writes log lines without ever waiting for their reader.

A full pipe blocks its writer, here the event loop, until it is read: a log collector that hangs
would stall every request.
"""

from __future__ import annotations

import os
import select
from collections import deque
from typing import TextIO

LARGEST_BACKLOG = 1024 * 1024  # bytes that wait for a reader; more lines are dropped


class LogStream:
    """Lines to a stream. What its reader does not take waits, and is written with a later line."""

    def __init__(self, stream: TextIO) -> None:
        self.dropped = 0  # lines, since this was last set to 0
        self._stream = stream
        self._backlog: deque[bytes] = deque()
        self._size = 0
        self._fd: int | None = None
        try:
            self._fd = stream.fileno()
        except (OSError, ValueError, AttributeError):  # it is no file, as in tests
            return
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLOUT)

    @property
    def waiting(self) -> bool:
        """Whether the reader has not taken all lines."""
        return bool(self._backlog)

    def write(self, line: str) -> None:
        """Write a line, or keep it for later. Raises OSError, or ValueError for a closed stream."""
        if self._fd is None:
            self._stream.write(line + "\n")
            self._stream.flush()
            return
        if self._stream.closed:
            raise ValueError("the stream is closed")
        text = (line + "\n").encode(errors="backslashreplace")
        if self._size + len(text) > LARGEST_BACKLOG:
            self.dropped += 1
        else:
            self._backlog.append(text)
            self._size += len(text)
        self._drain(self._fd)

    def _drain(self, fd: int) -> None:
        while self._backlog and self._poll.poll(0):
            text = self._backlog.popleft()
            self._size -= len(text)
            written = os.write(fd, text[: select.PIPE_BUF])  # a line that cannot be written is lost
            if rest := text[written:]:
                self._backlog.appendleft(rest)
                self._size += len(rest)
