"""The TLS side of one connection, without I/O: bytes of the socket in, plain bytes out.

It takes in one TLS record at a time. To ask OpenSSL for a record that has not come whole ends in an
exception of 20 µs, and what it reads from is shared by all connections, so it gets neither parts of
records nor several of them. The plain bytes of all records are given at once, since the HTTP parser
copies what it is given.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from enum import Enum

_RECORD_HEADER = 5  # bytes: type, version, and the length in two bytes
_MAX_PLAIN = 16 * 1024  # the most plain bytes of a record (RFC 8446, 5.1)
_TYPES = range(20, 24)  # of records: from change_cipher_spec to application_data (RFC 8446, 5.1)
_MAX_RECORD = 16 * 1024 + 2048  # bytes behind the header, in TLS 1.2 (RFC 5246, 6.2.3)
_RECORDS = 1024  # of one response, whatever they carry
_RECORD = 128  # bytes: the least average size of further records; smaller ones cost too much CPU


class TLSState(Enum):
    """Where a stream is; a record that comes is handled by `_ON_RECORD[state]`, or ignored."""

    HANDSHAKE = "handshake"
    OPEN = "open"
    CLOSED = "closed"  # the peer sends no more (close_notify)
    FAILED = "failed"  # see `error`


class TLSBuffers:
    """What all streams share, since one at a time takes in bytes, and each takes all of them.

    OpenSSL keeps room for the longest record that a `MemoryBIO` ever had, 22 KiB, which would
    otherwise be there for each of a thousand idle connections.
    """

    def __init__(self, largest_read: int) -> None:
        self.record = ssl.MemoryBIO()
        # With the rest of an earlier record.
        self.plain = memoryview(bytearray(largest_read + _RECORD_HEADER + _MAX_RECORD))


class TLSStream:
    """A client's TLS stream to `server_name`, verified as `context` says.

    Raises ValueError, TypeError or UnicodeError for what is no host name.
    """

    def __init__(self, buffers: TLSBuffers, context: ssl.SSLContext, server_name: str) -> None:
        self.state = TLSState.HANDSHAKE
        self.error: OSError | None = None  # why it FAILED; an ssl.SSLError in most cases
        self._incoming, self._plain = buffers.record, buffers.plain
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._partial = b""  # the part of the next record that has come
        self._records = self._bytes = 0  # of this response

    def start(self) -> None:
        """Begin the handshake: see `outgoing`."""
        self._shake_hands(self._plain)

    def expect_response(self) -> None:
        """Count records from here on as those of the next response."""
        self._records = self._bytes = 0

    def receive(self, data: memoryview) -> memoryview:
        """Decrypt bytes of the socket; return the plain ones, to be read before the next call.

        Bytes behind a failure are ignored: the first failure says most.
        """
        if self._partial:
            data = memoryview(b"".join((self._partial, data)))
        begin = size = 0
        incoming, plain = self._incoming, self._plain
        while self.state in _ON_RECORD and (end := _record_end(data, begin)) <= len(data):
            incoming.write(data[begin:end])
            size += _ON_RECORD[self.state](self, plain[size:])
            if incoming.pending:  # OpenSSL wants no more of it
                incoming.read()
            self._count_record(end - begin)
            begin = end
        self._partial = bytes(data[begin:]) if self.state in _ON_RECORD else b""
        return plain[:size]

    def write(self, data: bytes) -> None:
        """Encrypt plain bytes: see `outgoing`."""
        try:
            self._tls.write(data)
        except OSError as error:
            self._fail(error)

    def outgoing(self) -> bytes:
        """Return the bytes that are to be sent now."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def peer_certificate(self) -> bytes | None:
        """Return the certificate that the peer has shown, in DER."""
        return self._tls.getpeercert(binary_form=True)

    def _shake_hands(self, _plain: memoryview) -> int:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except OSError as error:
            self._fail(error)
        else:
            self.state = TLSState.OPEN
        return 0

    def _decrypt(self, plain: memoryview) -> int:
        size = 0
        try:
            # The stubs know only how read() gives bytes; given a buffer, it gives their number.
            size = self._tls.read(_MAX_PLAIN, plain)  # type: ignore[assignment]
            if not size:
                self.state = TLSState.CLOSED
        except ssl.SSLWantReadError:
            pass  # it was a session ticket, for example
        except OSError as error:
            self._fail(error)
        return size

    def _count_record(self, size: int) -> None:
        self._records += 1
        self._bytes += size
        if self._records > _RECORDS + self._bytes // _RECORD:
            self._fail(OSError(f"{self._records} TLS records of a few bytes each"))

    def _fail(self, error: OSError) -> None:
        if self.state is not TLSState.FAILED:
            self.state, self.error = TLSState.FAILED, error


_ON_RECORD: dict[TLSState, Callable[[TLSStream, memoryview], int]] = {
    TLSState.HANDSHAKE: TLSStream._shake_hands,  # noqa: SLF001  the table of its methods
    TLSState.OPEN: TLSStream._decrypt,  # noqa: SLF001
}


def _record_end(data: memoryview, begin: int) -> int:
    """Return where the TLS record at `begin` ends; beyond the data when that is not known yet.

    What cannot be a record is given whole, for TLS to refuse it: an HTTP port answers `HTTP/1.1`,
    and other services greet, as with `SSH-2.0`.
    """
    if len(data) - begin < _RECORD_HEADER:
        return len(data) + 1
    size = (data[begin + 3] << 8) + data[begin + 4]
    if size > _MAX_RECORD or data[begin] not in _TYPES:
        return len(data)
    return begin + _RECORD_HEADER + size
