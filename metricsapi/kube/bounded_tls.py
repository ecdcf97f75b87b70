"""TLS connections, whose peers have to send records that carry something.

A peer may send records without plain bytes for ever, such as key updates (RFC 8446, 4.6.3), each of
which costs more CPU than a small request. OpenSSL bounds neither their number nor the time of a
call, which handles all that has come.
"""

from __future__ import annotations

import ssl
from typing import Any, cast

# Bytes of records that carry nothing; a handshake with 100 KiB of certificates, which is the most
# that OpenSSL takes, and a record of 16 KiB that has come in part, are below that.
MOST_EMPTY = 128 * 1024
_PER_BYTE = 64  # bytes of records that a plain byte makes up for: records of one byte are allowed


class EmptyRecordsError(ssl.SSLError):
    """A peer sends TLS records that carry nothing; the connection ends with this error."""


class BoundedTLS(ssl.SSLObject):
    """Ends a connection whose records carry too little. `incoming` is where they come from."""

    incoming: ssl.MemoryBIO
    _empty = 0  # bytes that no plain bytes have made up for

    def do_handshake(self) -> None:
        """Go on with the handshake, as `SSLObject` does. Raises ssl.SSLError."""
        before = self.incoming.pending
        try:
            super().do_handshake()
        except ssl.SSLWantReadError:
            self._count(before, 0)
            raise
        self._empty = 0

    def read(self, *args: Any, **options: Any) -> Any:
        """Return plain bytes, or fill a buffer, as `SSLObject` does. Raises ssl.SSLError."""
        before = self.incoming.pending
        try:
            plain: Any = super().read(*args, **options)
        except ssl.SSLWantReadError:
            self._count(before, 0)
            raise
        self._count(before, len(plain) if isinstance(plain, bytes) else plain)
        return plain

    def _count(self, before: int, plain: int) -> None:
        taken = before - self.incoming.pending
        self._empty = max(0, self._empty + taken - plain * _PER_BYTE)
        if self._empty > MOST_EMPTY:
            raise EmptyRecordsError(
                ssl.SSL_ERROR_SSL, f"more than {MOST_EMPTY} bytes of TLS records without content"
            )


class BoundedContext(ssl.SSLContext):
    """A context whose connections, made by `wrap_bio`, are bounded."""

    sslobject_class = BoundedTLS

    def wrap_bio(self, incoming: ssl.MemoryBIO, *args: Any, **options: Any) -> ssl.SSLObject:
        """Return a connection that is bounded; the arguments are those of `SSLContext`."""
        connection = cast("BoundedTLS", super().wrap_bio(incoming, *args, **options))
        connection.incoming = incoming
        return connection
