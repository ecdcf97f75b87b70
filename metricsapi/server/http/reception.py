"""Checks what a connection receives against the limits. No socket, no clock, no parser.

A head may have 1 MiB, as in Go, and needs ten times that in memory if its headers are tiny. So that
a thousand connections do not need a thousand times that, each has a small allowance of its own, and
what is beyond it comes from memory that all connections share.
"""

from __future__ import annotations

from metricsapi.config.limits import LimitSettings
from metricsapi.server.http.refusal import (
    MALFORMED,
    Receiving,
    Refused,
    body_too_large,
    headers_too_large,
    no_memory_for_headers,
    target_too_long,
)

_ALLOWANCE = 64 * 1024  # bytes of memory for the heads of each connection
_SHARED = 32 * 1024 * 1024  # bytes beyond that, for all connections together
_STEP = 64 * 1024  # bytes that are taken of those at once
_HEADER_COST = 150  # bytes of memory that a header needs beside its text


class SharedMemory:
    """Memory for large heads, shared by all connections."""

    def __init__(self, size: int = _SHARED) -> None:
        """Take its size in bytes."""
        self.free = size

    def take(self, size: int) -> bool:
        """Reserve `size` bytes; return False if there are not enough."""
        if size > self.free:
            return False
        self.free -= size
        return True

    def give_back(self, size: int) -> None:
        """Free what was taken."""
        self.free += size


class Reception:
    """Counts the bytes of the request that is coming in, as the parser reports its parts.

    A part that is beyond a limit raises Refused.
    """

    def __init__(self, limits: LimitSettings, memory: SharedMemory) -> None:
        self._limits = limits
        self._memory = memory
        self.state = Receiving.NOTHING
        self._chunk = 0  # bytes of the last read
        self._head_received = 0  # bytes received since the head began
        self._head = 0  # bytes of the parts of the head: target, names, values
        self._headers = 0
        self._earlier = 0  # bytes of memory of the heads before, which are still in use
        self._taken = 0  # bytes of the shared memory
        self._body = 0  # bytes of the body, trailers included
        self._unreported = 0  # bytes since the parser last reported a part

    def received(self, size: int) -> None:
        """Note a read of the connection, before it is parsed."""
        self._chunk = size
        self._unreported += size
        self._head_received += size

    def parsed(self) -> None:
        """Check what was received so far, after it was parsed."""
        limits = self._limits
        if self._unreported > limits.header_bytes + limits.body_bytes:
            raise Refused(MALFORMED)  # chunk extensions or empty lines without end
        if self.state is Receiving.HEAD:
            if self._head_received > limits.header_bytes:
                raise headers_too_large()
            self._charge(self._head_received)

    def begin(self) -> None:
        """Note that a request begins."""
        self.state = Receiving.HEAD
        self._earlier += self._head + self._headers * _HEADER_COST
        self._head = self._headers = self._body = self._unreported = 0
        self._head_received = self._chunk  # at the most: it may have begun later in the read

    def target(self, size: int) -> None:
        """Note the request target as far as it is known: `size` bytes."""
        self._unreported = 0
        self._head = size
        if size > self._limits.target_bytes:
            raise target_too_long()

    def header(self, name: bytes, value: bytes) -> bool:
        """Note a header; False for a trailer, which is part of the body."""
        self._unreported = 0
        size = len(name) + len(value) + 4
        if self.state is Receiving.BODY:
            self.body(size)
            return False
        self._head += size
        self._headers += 1
        if self._head > self._limits.header_bytes or self._headers > self._limits.header_count:
            raise headers_too_large()
        self._charge(self._head)
        return True

    def headers_complete(self) -> None:
        """Note the end of the headers."""
        self._unreported = 0
        self.state = Receiving.BODY

    def body(self, size: int) -> None:
        """Note a part of the body."""
        self._unreported = 0
        self._body += size
        if self._body > self._limits.body_bytes:
            raise body_too_large()

    def complete(self) -> None:
        """Note the end of the request."""
        self._unreported = 0
        self.state = Receiving.NOTHING

    def answered(self) -> None:
        """Note that every request whose head has arrived has its response, and needs no head."""
        self._earlier = 0
        if self.state is not Receiving.HEAD:
            self.release()

    def release(self) -> None:
        """Free the memory of all heads."""
        self._memory.give_back(self._taken)
        self._head = self._headers = self._earlier = self._taken = 0

    def _charge(self, head: int) -> None:
        """Reserve memory for a head of so many bytes and the earlier heads. Raises Refused."""
        needed = self._earlier + head + self._headers * _HEADER_COST
        while needed > _ALLOWANCE + self._taken:
            if not self._memory.take(_STEP):
                raise no_memory_for_headers()
            self._taken += _STEP
