"""uvicorn's HTTP/1.1 protocol with what it lacks: the peer's certificate, and bounds.

httptools (llhttp, strict) parses; what it lets pass and two readers could understand differently
is refused here. A refusal closes the connection, as nothing after it can be trusted.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from cryptography import x509
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from metricsapi.api.status import StatusError, status_answer
from metricsapi.config.limits import LimitSettings
from metricsapi.server.auth.client_certificates import PeerCertificates
from metricsapi.server.http.framing import HEADERS_TOO_LARGE, Refused, bad, check_framing, too_large
from metricsapi.server.http.peer import peer_certificates
from metricsapi.server.http.request_target import BadTarget, resolve
from metricsapi.server.http.write_coalescing import Together

_PIPELINED = 8  # requests waiting behind one that is being answered
_LINGER = 0.5  # seconds a refused peer has to read why, before the connection is closed
_PROGRESS = 64 * 1024  # bytes that a peer must take within `write_timeout`


class Protocol(HttpToolsProtocol):
    """One connection. `scope["state"]` has `peer`, its `PeerCertificates` or None without any, and
    `abort`, which ends it at once.
    """

    def __init__(
        self, config: Config, state: ServerState, limits: LimitSettings, leaving: asyncio.Event
    ) -> None:
        super().__init__(config, state, {})
        self.limits = limits
        self.timeout_keep_alive = limits.idle_timeout  # type: ignore[assignment]  # a float will do
        self.peer: PeerCertificates | None = None
        self.used_at = self.loop.time()
        self._leaving = leaving
        self._deaf = False  # what still comes in is not looked at
        self._in_head = False
        self._in_message = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._chunk = self._head_received = 0  # bytes: of this read, and since the head began
        self._unparsed = 0  # bytes since the parser last told of something
        self._reading: asyncio.TimerHandle | None = None
        self._reading_head = False
        self._writing: asyncio.TimerHandle | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Together(transport, self.loop))  # type: ignore[arg-type]  # by duck typing
        try:
            self.peer = peer_certificates(transport)
        except (ValueError, x509.InvalidVersion):
            transport.abort()
            return
        self.app_state = {"peer": self.peer, "abort": transport.abort}
        self.timeout_keep_alive_task = self.loop.call_later(
            self.limits.idle_timeout, self.timeout_keep_alive_handler
        )
        if len(self.connections) > self.limits.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._reading, self._writing, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    @property
    def idle(self) -> bool:
        """No request is being answered."""
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline

    def _make_room(self) -> None:
        """Close the connection that has been idle longest, one without a certificate if any is."""
        others: Any = (one for one in self.connections if one is not self)
        idle = [one for one in others if isinstance(one, Protocol) and one.idle]
        victim = min(idle, key=lambda one: (one.peer is not None, one.used_at), default=self)
        self.connections.discard(victim)
        victim.transport.abort()

    # What comes in

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unparsed += len(data)
        self._chunk = len(data)
        self._head_received += len(data)
        try:
            self.parser.feed_data(data)
            if self._unparsed > self.limits.header_bytes + self.limits.body_bytes:
                self._refuse(None)  # chunk extensions or empty lines without end
            elif self._in_head and self._head_received > self.limits.header_bytes:
                self._refuse(HEADERS_TOO_LARGE)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, Refused):
                raise
            self._refuse(cause.status)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(bad("malformed HTTP request"))
        self._watch_reader()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _PIPELINED or (self.cycle and not self.cycle.keep_alive):
            raise Refused(None)
        self._unset_keepalive_if_required()
        self._in_head = self._in_message = True
        self._head_bytes = self._body_bytes = self._unparsed = 0
        self._head_received = self._chunk  # at the most: it may have begun later in the chunk
        self.used_at = self.loop.time()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._unparsed = 0
        self._head_bytes = len(self.url)
        if self._head_bytes > self.limits.target_bytes:
            raise Refused(StatusError(414, "RequestURITooLong", "the request target is too long"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._unparsed = 0
        size = len(name) + len(value) + 4
        if not self._in_head:
            # A trailer. uvicorn would add it to the headers of a request that is already being
            # answered, and the front proxy hands on its clients' trailers: an identity header
            # among them would be believed.
            self._count_body(size)
            return
        self._head_bytes += size
        if self._head_bytes > self.limits.header_bytes or (
            len(self.headers) >= self.limits.header_count
        ):
            raise Refused(HEADERS_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unparsed = 0
        check_framing(self.parser, self.headers, self.limits.body_bytes)
        try:
            self.url = resolve(self.url)
        except BadTarget as error:
            raise Refused(bad(str(error))) from error
        super().on_headers_complete()
        self._in_head = False
        if self._leaving.is_set():
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        self._count_body(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        self._in_message = False
        super().on_message_complete()

    def _count_body(self, size: int) -> None:
        self._body_bytes += size
        if self._body_bytes > self.limits.body_bytes:
            raise Refused(too_large("body"))

    def _watch_reader(self) -> None:
        """Time the part of a message that is still to come."""
        if self._reading is not None and (
            not self._in_message or self._reading_head is not self._in_head
        ):
            self._reading.cancel()
            self._reading = None
        if self._in_message and self._reading is None and not self._deaf:
            limits = self.limits
            seconds = limits.header_timeout if self._in_head else limits.body_timeout
            self._reading_head = self._in_head
            self._reading = self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._refuse(StatusError(408, "Timeout", "the request did not arrive in time"))

    def _refuse(self, status: StatusError | None) -> None:
        """Answer, unless an earlier request is being answered, and close the connection."""
        self._deaf = True
        body = self._in_message and not self._in_head  # of the newest request
        if not self.idle:
            if not body:
                self.cycle.keep_alive = False
                return
            if self.cycle.response_started or self.pipeline:
                status = None
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        elif body:
            status = None  # its request has been answered
        if status is None:
            self.transport.close()
            return
        lines = [STATUS_LINE[status.code], b"connection: close\r\n"]
        headers, content = status_answer(status)
        headers = [*self.server_state.default_headers, *headers]
        lines += [name + b": " + value + b"\r\n" for name, value in headers]
        self.transport.write(b"".join([*lines, b"\r\n", content]))
        # Closing now would reset the connection, and the answer in it, if more is on the way.
        self._reading = self.loop.call_later(_LINGER, self.transport.close)

    # What goes out

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writer()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _watch_writer(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._writing = self.loop.call_later(self.limits.write_timeout, self._taken, waiting)

    def _taken(self, before: int) -> None:
        if self.transport.get_write_buffer_size() > before - _PROGRESS:
            self.transport.abort()
        else:
            self._watch_writer()
