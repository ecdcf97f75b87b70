"""One kept-alive HTTP/1.1 connection to one kubelet: GET, and nothing else.

Own code because reading nodes is what this server spends its time on. httpx's client alone, over
a transport that does nothing, was measured at 0.135 ms a request; this whole exchange of 67 KB
costs less. TLS runs over a `MemoryBIO` pair fed record by record, and all connections share their
read buffers, since asyncio's own TLS keeps 256 KiB for each of a thousand idle connections.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import cast

import httptools
from msgspec import Struct

from metricsapi.scrape.errors import Cause, ScrapeError, from_tls_error

_READ = 256 * 1024  # bytes taken from the kernel at once
_RECORD = 16 * 1024  # the most plain bytes in a TLS record (RFC 8446, 5.1)
_LONGEST_RECORD = 16 * 1024 + 2048  # as sent, in TLS 1.2
_RECORD_HEAD = 5  # type, version, and the length in two bytes
_LONGEST_HEAD = 64 * 1024


class Answer(Struct):
    """A whole answer, with the times of the exchange in monotonic seconds."""

    status: int
    body: bytes
    requested_at: float  # just before the request was written
    answered_at: float  # when the first byte of the answer had come


class Buffers:
    """What connections share: the buffers they read into, and how long an answer may be.

    One connection is read at a time, and each time to the end, so that the buffers are free again
    when the next one is. `record` is where TLS takes one record from; it keeps room for the longest
    it ever held, 22 KiB, which each of a thousand idle connections would have to itself.
    """

    def __init__(self, max_answer: int) -> None:
        self.max_answer = max_answer
        self.received = memoryview(bytearray(_READ))
        self.plain = memoryview(bytearray(_READ + _RECORD))  # with the rest of an earlier record
        self.record = ssl.MemoryBIO()


class Connection(asyncio.BufferedProtocol):
    """A connection that asks one thing at a time, in plain text.

    Failures end in a ScrapeError and a closed connection.
    """

    def __init__(self, where: str, buffers: Buffers) -> None:
        self.where = where
        self.usable = False
        self._broken: ScrapeError | None = None  # why it is not usable
        self._buffers = buffers
        self._loop = asyncio.get_running_loop()  # which asks the kernel for the process id
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._head_done = self._complete = False
        self._requested_at = 0.0
        self._answered_at = 0.0

    async def get(self, request: bytes, deadline: float) -> Answer:
        """Send the request, give the answer. `deadline` is in monotonic seconds."""
        if self._broken is not None:
            raise self._broken
        waiter: asyncio.Future[Answer] = self._loop.create_future()
        self._waiter = waiter
        self._parser = httptools.HttpResponseParser(self)
        self._size = 0
        self._head_done = self._complete = False
        self._answered_at = 0.0
        timer = self._loop.call_at(deadline, self._timed_out)
        self._requested_at = time.monotonic()
        self._send(request)
        try:
            return await waiter
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()
            self._waiter = self._parser = None
            self._parts = []

    def close(self) -> None:
        """Close at once, without waiting for the other side."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # asyncio.BufferedProtocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by duck typing
        self.usable = True

    def get_buffer(self, _size_hint: int) -> memoryview:
        return self._buffers.received

    def buffer_updated(self, count: int) -> None:
        self._plain_received(self._buffers.received[:count], time.monotonic())

    def connection_lost(self, _error: Exception | None) -> None:
        self.usable = False
        if self._answered_at:
            self._fail(Cause.TRUNCATED, f"{self.where} closed the connection within its answer")
        else:
            self._fail(Cause.RESET, f"{self.where} closed the connection without an answer")

    # httptools
    def on_message_begin(self) -> None:
        if self._complete:  # a second answer to one request
            self.close()

    def on_headers_complete(self) -> None:
        self._head_done = True

    def on_body(self, data: bytes) -> None:
        self._parts.append(data)

    def on_message_complete(self) -> None:
        parser, waiter = self._parser, self._waiter
        if parser is None or waiter is None or waiter.done():
            return
        self._complete = True
        if not parser.should_keep_alive():
            self.close()
        body = b"".join(self._parts)
        waiter.set_result(
            Answer(parser.get_status_code(), body, self._requested_at, self._answered_at)
        )

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _plain_received(self, data: memoryview, arrived_at: float) -> None:
        if self._parser is None:
            self.close()  # bytes that nobody asked for
            return
        if not self._answered_at:
            self._answered_at = arrived_at
        self._size += len(data)
        limit = self._buffers.max_answer
        if self._size <= limit:
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
                self._fail(Cause.NOT_HTTP, f"{self.where} answered what is not HTTP/1.1: {error}")
        if self._size > limit or (self._size > _LONGEST_HEAD and not self._head_done):
            self._fail(Cause.TOO_LARGE, f"{self.where} answered more than {limit} bytes")

    def _timed_out(self) -> None:
        said = "did not finish its answer" if self._answered_at else "did not answer"
        self._fail(Cause.TIMEOUT, f"{self.where} {said} in time")

    def _fail(self, cause: Cause, message: str) -> None:
        self._raise(ScrapeError(cause, message))

    def _raise(self, error: ScrapeError) -> None:
        """End the exchange that is going on, or else the next one, if none is."""
        self.usable = False
        if self._broken is None:
            self._broken = error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


class SecureConnection(Connection):
    """The same over TLS. `handshake` comes first."""

    def __init__(
        self, where: str, buffers: Buffers, context: ssl.SSLContext, server_name: str
    ) -> None:
        super().__init__(where, buffers)
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(buffers.record, self._outgoing, server_hostname=server_name)
        self._shaken: asyncio.Future[None] | None = None
        self._partial = b""  # the part of the next record that has come
        self._ended: ScrapeError | None = None  # what TLS could not read, after all before it

    async def handshake(self) -> None:
        """Agree on keys and verify the certificate. Raises OSError (ssl.SSLError is one)."""
        self._shaken = self._loop.create_future()
        try:
            self._shake(self._shaken)
            await self._shaken
        except BaseException:
            self.close()
            raise
        finally:
            self._shaken = None

    def peer_certificate(self) -> bytes | None:
        """Give the certificate that the kubelet has shown, in DER."""
        return self._tls.getpeercert(binary_form=True)

    def buffer_updated(self, count: int) -> None:
        """Give TLS one whole record after the other.

        Asking it for a record that has not come whole ends in an exception of 20 µs, and what it is
        given is shared with other connections: so neither pieces nor everything at once. The parser
        gets all that is in them at once, since it copies what it gives, and parts would be joined.
        """
        arrived_at = time.monotonic()
        data = self._buffers.received[:count]
        if self._partial:
            data = memoryview(b"".join((self._partial, data)))
        begin = size = 0
        record, plain = self._buffers.record, self._buffers.plain
        while (end := _record_end(data, begin)) <= len(data):
            record.write(data[begin:end])
            begin = end
            if self._shaken is not None and not self._shaken.done():
                self._shake(self._shaken)
            else:
                size += self._decrypt(plain[size:])
            if record.pending:  # TLS wants no more of it, and the next one is another connection's
                record.read()
        self._partial = bytes(data[begin:])
        self._flush()
        if size:
            self._plain_received(plain[:size], arrived_at)
        if self._ended is not None:
            self._raise(self._ended)

    def connection_lost(self, error: Exception | None) -> None:
        if self._shaken is not None and not self._shaken.done():
            self._shaken.set_exception(error or ConnectionResetError("closed in the handshake"))
        super().connection_lost(error)

    def _shake(self, shaken: asyncio.Future[None]) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except OSError as error:
            shaken.set_exception(error)
        else:
            shaken.set_result(None)
        self._flush()

    def _decrypt(self, into: memoryview) -> int:
        size = 0
        try:
            # The stubs know only how read() gives bytes; given a buffer, it gives their number.
            size = self._tls.read(_RECORD, into)  # type: ignore[assignment]
            if not size:
                self.close()  # the other side says that it has ended
        except ssl.SSLWantReadError:
            pass  # it was a session ticket, say
        except OSError as error:
            # What comes after the first failure says less of it.
            self._ended = self._ended or from_tls_error(error, self.where)
        return size

    def _send(self, data: bytes) -> None:
        try:
            self._tls.write(data)
        except OSError as error:
            self._raise(from_tls_error(error, self.where))
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and self._transport is not None:
            self._transport.write(self._outgoing.read())


def _record_end(data: memoryview, begin: int) -> int:
    """Give where the TLS record at `begin` ends; beyond the data when that is not known yet.

    What cannot be a record is given whole, for TLS to refuse it: an HTTP port answers `HTTP/1.1`.
    """
    if len(data) - begin < _RECORD_HEAD:
        return len(data) + 1
    size = (data[begin + 3] << 8) + data[begin + 4]
    return begin + _RECORD_HEAD + size if size <= _LONGEST_RECORD else len(data)
