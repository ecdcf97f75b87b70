"""uvicorn's HTTP/1.1 protocol with what it lacks: the peer's certificate, and limits.

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
from metricsapi.kube.bounded_tls import EmptyRecordsError
from metricsapi.server.auth.client_certificates import PeerCertificates
from metricsapi.server.http.closing import ClientTransport
from metricsapi.server.http.framing import check_framing
from metricsapi.server.http.peer import peer_certificates
from metricsapi.server.http.pieces import Pieces
from metricsapi.server.http.reception import Reception, SharedMemory
from metricsapi.server.http.refusal import (
    CONNECTIONS,
    EMPTY_RECORDS,
    PIPELINED,
    Action,
    Answering,
    Receiving,
    Refused,
    action_for,
    malformed,
    too_slow,
)
from metricsapi.server.http.refusal_log import RefusalLog
from metricsapi.server.http.request_log import AUDIT_ID, request_id
from metricsapi.server.http.request_target import BadTarget, resolve
from metricsapi.server.http.time_limits import ReadTimeLimit, WriteTimeLimit

_PIPELINED = 8  # requests that wait behind the one that is being served


class Protocol(HttpToolsProtocol):
    """One connection. `scope["state"]` has `peer`, its `PeerCertificates` or None without any, and
    `abort`, which ends it at once.
    """

    def __init__(
        self,
        config: Config,
        state: ServerState,
        limits: LimitSettings,
        leaving: asyncio.Event,
        refusals: RefusalLog,
        memory: SharedMemory,
    ) -> None:
        super().__init__(config, state, {})
        self.limits = limits
        self.timeout_keep_alive = limits.idle_timeout  # type: ignore[assignment]  # a float will do
        self.peer: PeerCertificates | None = None
        self.used_at = self.loop.time()
        self._leaving = leaving
        self._refusals = refusals
        self._refused = False  # what still comes in is not parsed
        self._reception = Reception(limits, memory)
        self._pieces = Pieces(self.loop, self._receive, self._pause_reading, self._resume_reading)
        self._reading = ReadTimeLimit(self.loop, limits, lambda: self._refuse(too_slow()))

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._client = ClientTransport(transport, self.loop, self.limits)
        self._writing = WriteTimeLimit(self.loop, self.limits, transport)
        super().connection_made(self._client)  # type: ignore[arg-type]  # by duck typing
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
        if isinstance(exc, EmptyRecordsError):
            self._refusals.note(Refused(EMPTY_RECORDS), self.client)
        self._client.lost()
        self._reading.cancel()
        self._writing.cancel()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        super().connection_lost(exc)
        self._reception.release()
        self._pieces.drop()

    @property
    def answering(self) -> Answering:
        """How far the responses are."""
        if self.pipeline:
            return Answering.SENDING
        if self.cycle is None or self.cycle.response_complete:
            return Answering.NOTHING
        return Answering.SENDING if self.cycle.response_started else Answering.WAITING

    def _make_room(self) -> None:
        """Close the connection that has been idle longest, one without a certificate if any is."""
        others: Any = self.connections - {self}
        idle = [each for each in others if each.answering is Answering.NOTHING]
        victim = min(idle, key=lambda each: (each.peer is not None, each.used_at), default=self)
        self._refusals.note(Refused(CONNECTIONS), victim.client)
        self.connections.discard(victim)
        victim.transport.abort()

    # What comes in

    def data_received(self, data: bytes) -> None:
        self._pieces.add(data)

    def _pause_reading(self) -> None:
        self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self.flow.read_paused:
            self.transport.resume_reading()

    def _receive(self, data: bytes) -> None:
        if self._refused or self.transport.is_closing():
            self._pieces.drop()
            return
        self._reception.received(len(data))
        try:
            self._parse(data)
            self._reception.parsed()
        except Refused as refused:
            self._refuse(refused)
        else:
            self._reading.follow(self._reception.state)

    def _parse(self, data: bytes) -> None:
        """Parse `data`, which calls the methods below with its parts. Raises Refused."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None  # what a method below has raised
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise malformed("malformed HTTP request") from None

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _PIPELINED or (self.cycle and not self.cycle.keep_alive):
            raise Refused(PIPELINED)
        self._unset_keepalive_if_required()
        self._reception.begin()
        self._client.request_begins()
        self.used_at = self.loop.time()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._reception.target(len(self.url))

    def on_header(self, name: bytes, value: bytes) -> None:
        # uvicorn would add a trailer to the headers of a request that is already being answered,
        # and the front proxy hands on its clients' trailers: an identity header among them would
        # be believed.
        if self._reception.header(name, value):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        check_framing(self.parser, self.headers, self.limits.body_bytes)
        try:
            self.url = resolve(self.url)
        except BadTarget as error:
            raise malformed(str(error)) from error
        super().on_headers_complete()
        self._reception.headers_complete()
        if self._leaving.is_set():
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._reception.body(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._reception.complete()
        super().on_message_complete()

    # Refusals

    def _refuse(self, refused: Refused) -> None:
        """End the connection as `ACTIONS` says."""
        self._refused = True
        self._reading.cancel()
        headers = self.headers if self._reception.state is Receiving.HEAD else ()
        audit_id = request_id(headers)
        self._refusals.note(refused, self.client, audit_id.decode())
        action = action_for(self._reception.state, self.answering, refused)
        if action is Action.FINISH:
            self.cycle.keep_alive = False
            return
        if self.answering is not Answering.NOTHING:  # the app learns that its client is gone
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if action is not Action.CUT and refused.status is not None:
            self._send_refusal(refused.status, audit_id)
        self.flow.resume_reading()  # what still comes in is dropped
        self._client.close_soon()

    def _send_refusal(self, status: StatusError, audit_id: bytes) -> None:
        headers, body = status_answer(status)
        headers = [*self.server_state.default_headers, *headers, (AUDIT_ID, audit_id)]
        lines = [STATUS_LINE[status.code], b"connection: close\r\n"]
        lines += [name + b": " + value + b"\r\n" for name, value in headers]
        self.transport.write(b"".join([*lines, b"\r\n", body]))

    # What goes out

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.answering is not Answering.NOTHING:
            return
        self._reception.answered()
        if self._reception.state is not Receiving.HEAD:
            # The connection may now be idle for minutes: it keeps no headers meanwhile.
            self.cycle.scope = self.scope = {}  # type: ignore[typeddict-item]
            self.headers = []

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing.start()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._writing.cancel()
