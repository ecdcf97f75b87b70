"""What a connection receives, measured against the limits. No socket, no clock, no parser."""

from __future__ import annotations

from metricsapi.config.limits import LimitSettings
from metricsapi.server.http.refusal import (
    MALFORMED,
    Receiving,
    Refused,
    body_too_large,
    headers_too_large,
    target_too_long,
)


class Reception:
    """Counts the bytes of the request that is coming in, as the parser reports its parts.

    A part that is beyond a limit raises Refused.
    """

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        self.state = Receiving.NOTHING
        self._chunk = 0  # bytes of the last read
        self._head_received = 0  # bytes received since the head began
        self._head = 0  # bytes of the parts of the head: target, names, values
        self._headers = 0
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
        if self.state is Receiving.HEAD and self._head_received > limits.header_bytes:
            raise headers_too_large()

    def begin(self) -> None:
        """Note that a request begins."""
        self.state = Receiving.HEAD
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
