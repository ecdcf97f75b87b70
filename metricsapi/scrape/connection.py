"""One kept-alive connection to one kubelet: GET over HTTP/1.1, with or without TLS.

Own code because scraping is what this server spends its time on: httpx alone, over a transport that
does nothing, was measured at 0.135 ms a request, and this whole exchange of 67 KB costs less. This
module does the I/O; `http_response` and `tls_stream` say what the bytes mean. All connections share
their read buffers, since asyncio's own TLS keeps 256 KiB for each of a thousand idle connections.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import cast

from metricsapi.scrape.errors import Cause, Failure, IdleClosed, ScrapeError, from_tls_error
from metricsapi.scrape.handshakes import Handshakes
from metricsapi.scrape.http_response import Response, ResponseReader
from metricsapi.scrape.large_responses import PLACE_TIME, LargeResponses, PacedReading
from metricsapi.scrape.names import Names
from metricsapi.scrape.tls_stream import TLSBuffers, TLSState, TLSStream

_READ = 256 * 1024  # bytes taken from the kernel at once
_BURST = 128 * 1024  # bytes of a response after which others are served between reads


class Shared:
    """What connections share: buffers, look-ups of names, and how large responses may be (bytes).

    One connection is read at a time, and each read is handled to its end, so that the buffers are
    free again when the next connection is read.
    """

    def __init__(self, max_response: int) -> None:
        self.max_response = max_response
        self.received = memoryview(bytearray(_READ))
        self.tls = TLSBuffers(_READ)
        self.large = LargeResponses()
        self.handshakes = Handshakes()
        self.names = Names()


class Connection(asyncio.BufferedProtocol):
    """A connection that carries one request at a time; `usable` tells whether it may carry more.

    Failures are ScrapeErrors, after which the connection is closed.
    """

    def __init__(self, where: str, shared: Shared, tls: TLSStream | None = None) -> None:
        self.where = where
        self.usable = False
        self._shared = shared
        self._tls = tls
        self._loop = asyncio.get_running_loop()  # each call of it asks the kernel for the process
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.Future[None] | None = None
        self._response: asyncio.Future[Response] | None = None
        self._reader: ResponseReader | None = None
        self._pacing = PacedReading(shared.large)
        # Why it is not usable. Not the error itself, which lives as long as the node: by its
        # traceback, and those of errors before it, it would keep megabytes of what was received.
        self._ended: tuple[type[ScrapeError], Failure] | None = None
        self._requests = 0

    async def handshake(self) -> None:
        """Agree on keys and verify the certificate, if there is TLS. Raises OSError."""
        if self._tls is None:
            return
        self._handshake = self._loop.create_future()
        try:
            self._tls.start()
            self._flush()
            self._continue_handshake(self._tls)
            await self._handshake
        except BaseException:
            self.close()
            raise
        finally:
            self._handshake = None

    def peer_certificate(self) -> bytes | None:
        """Return the certificate that the peer has shown, in DER; None without TLS."""
        return self._tls.peer_certificate() if self._tls is not None else None

    async def get(self, request: bytes, deadline: float) -> Response:
        """Send a request and give its response. `deadline` is in monotonic seconds.

        Raises ScrapeError; IdleClosed if the peer had closed the connection since the last request.
        """
        if self._ended is not None:
            kind, failure = self._ended
            raise kind(failure.cause, failure.message)
        self._requests += 1
        response: asyncio.Future[Response] = self._loop.create_future()
        timer = self._loop.call_at(deadline, self._time_out)
        self._response = response
        self._reader = ResponseReader(self.where, self._shared.max_response, time.monotonic())
        self._send(request)
        try:
            result = await response
        except BaseException:
            self.close()
            self._pacing.end()
            raise
        finally:
            timer.cancel()
            self._reader.discard()
            self._response = self._reader = None
            del response  # which has the error, whose traceback has this frame
        result.release = self._pacing.end
        return result

    def close(self) -> None:
        """Close at once, without waiting for the peer."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # callbacks of asyncio
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by duck typing
        self.usable = True

    def get_buffer(self, _size_hint: int) -> memoryview:
        return self._shared.received

    def buffer_updated(self, count: int) -> None:
        arrived_at = time.monotonic()
        data = self._shared.received[:count]
        if self._tls is None:
            self._feed(data, arrived_at)
            return
        if self._tls.state is TLSState.HANDSHAKE and self._transport is not None:
            self._transport.pause_reading()
            self._shared.handshakes.add(partial(self._continue, self._transport, bytes(data)))
        else:
            self._receive(self._tls, data, arrived_at)

    def eof_received(self) -> None:
        """End the response; with TLS only close_notify says that the peer meant to end it."""
        self._end(clean=self._tls is None)

    def connection_lost(self, error: Exception | None) -> None:
        if self._handshake is not None and not self._handshake.done():
            self._handshake.set_exception(error or ConnectionResetError("closed in the handshake"))
        self._fail(self._lost())

    def _continue(self, transport: asyncio.Transport, data: bytes) -> None:
        """Continue the handshake by what has come, and read on."""
        if not transport.is_closing() and self._tls is not None:
            self._receive(self._tls, memoryview(data), time.monotonic())
            if not transport.is_closing():
                transport.resume_reading()

    def _receive(self, tls: TLSStream, data: memoryview, arrived_at: float) -> None:
        plain = tls.receive(data)
        self._flush()
        if self._handshake is not None:
            self._continue_handshake(tls)
        if plain:
            self._feed(plain, arrived_at)
        if tls.state is TLSState.FAILED and tls.error is not None:
            self._fail(from_tls_error(tls.error, self.where))
        elif tls.state is TLSState.CLOSED:
            self._end(clean=True)

    def _continue_handshake(self, tls: TLSStream) -> None:
        if self._handshake is None or self._handshake.done():
            return
        if tls.state is TLSState.OPEN:
            self._handshake.set_result(None)
        elif tls.state is not TLSState.HANDSHAKE:
            self._handshake.set_exception(tls.error or ConnectionResetError())

    def _send(self, data: bytes) -> None:
        if self._tls is not None:
            self._tls.expect_response()
            self._tls.write(data)
            self._flush()
        elif self._transport is not None:
            self._transport.write(data)

    def _flush(self) -> None:
        if self._tls is not None and self._transport is not None:
            data = self._tls.outgoing()
            if data:
                self._transport.write(data)

    def _feed(self, data: memoryview, arrived_at: float) -> None:
        if self._reader is None:
            self.close()  # bytes that belong to no request
            return
        try:
            self._reader.feed(data, arrived_at)
        except ScrapeError as error:
            self._fail(error)
        else:
            self._finish(self._reader)
            large = self._reader.size > _BURST and not self._reader.whole
            if large and self._transport is not None:
                self._pacing.pause(self._transport, self._reader.size, self._fail_slow)

    def _fail_slow(self) -> None:
        """Fail a large response that keeps others waiting for longer than it may."""
        if self._reader is not None:
            message = f"{self.where} took more than {PLACE_TIME:g} s for the rest of a large answer"
            self._fail(ScrapeError(Cause.TIMEOUT, f"{message} while others waited"))

    def _end(self, *, clean: bool) -> None:
        """Handle the end of what the peer sends."""
        self.usable = False
        if self._reader is None:
            self._fail(self._lost())
            return
        try:
            self._reader.end(clean=clean)
        except ScrapeError:
            self._fail(self._lost())
        else:
            self._finish(self._reader)

    def _finish(self, reader: ResponseReader) -> None:
        """Complete the request if the response is whole."""
        if reader.response is None:
            return
        if not reader.reusable:
            self.close()
        if self._response is not None and not self._response.done():
            self._response.set_result(reader.response)

    def _time_out(self) -> None:
        started = self._reader is not None and self._reader.started
        what = "did not finish its answer" if started else "did not answer"
        self._fail(ScrapeError(Cause.TIMEOUT, f"{self.where} {what} in time"))

    def _lost(self) -> ScrapeError:
        """Return the error of a connection that the peer has ended."""
        if self._reader is not None and self._reader.started:
            return self._reader.lost()
        kind = IdleClosed if self._requests > 1 else ScrapeError
        return kind(Cause.RESET, f"{self.where} closed the connection without an answer")

    def _fail(self, error: ScrapeError) -> None:
        """End the connection with the present exchange, or before the next one if there is none.

        At once: whoever goes on sending would keep the event loop reading until the next scrape.
        """
        self.close()
        if self._ended is None:
            self._ended = type(error), error.failure
        if self._response is not None and not self._response.done():
            self._response.set_exception(error)
