"""One kept-alive HTTP/1.1 connection to one kubelet: GET, and nothing else.

Own code because reading nodes is what the server spends its time on: an httpx request costs five
to six times as much CPU as this, and asks for a pool that nodes do not need.
"""

from __future__ import annotations

import asyncio
import ssl
import time

import httptools
from msgspec import Struct

from metricsapi.collect.failure import Cause, ScrapeError, from_connect_error


class Answer(Struct):
    """A whole answer, with the times of the exchange in monotonic seconds."""

    status: int
    body: bytearray
    requested_at: float  # just before the request was written
    answered_at: float  # when the first byte of the answer had come


class Connection(asyncio.Protocol):
    """A connection that asks one thing at a time."""

    def __init__(self, where: str, max_answer: int) -> None:
        self.where = where
        self.usable = False
        self._max_answer = max_answer
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._body = bytearray()
        self._requested_at = 0.0
        self._answered_at: float | None = None

    async def get(self, request: bytes, deadline: float) -> Answer:
        """Send the request, give the answer. Raises ScrapeError; the connection is then closed."""
        assert self._transport is not None  # noqa: S101
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._answered_at = None
        timer = loop.call_at(deadline, self._timed_out)
        self._requested_at = time.monotonic()
        self._transport.write(request)
        try:
            return await self._waiter
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()
            self._waiter = None
            self._parser = None

    def close(self) -> None:
        """Close at once, without waiting for the other side."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport
        self.usable = True

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            self.close()  # bytes that nobody asked for
            return
        if self._answered_at is None:
            self._answered_at = time.monotonic()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(Cause.NOT_HTTP, f"{self.where} answered what is not HTTP: {error}")

    def connection_lost(self, _error: Exception | None) -> None:
        self.usable = False
        if self._answered_at is None:
            self._fail(Cause.RESET, f"{self.where} closed the connection without an answer")
        else:
            self._fail(Cause.TRUNCATED, f"{self.where} closed the connection within its answer")

    # httptools
    def on_body(self, data: bytes) -> None:
        if len(self._body) + len(data) > self._max_answer:
            self._fail(Cause.TOO_LARGE, f"{self.where} answered more than {self._max_answer} bytes")
            return
        self._body += data

    def on_message_complete(self) -> None:
        parser, waiter = self._parser, self._waiter
        if parser is None or waiter is None or waiter.done():
            return
        if not parser.should_keep_alive():
            self.close()
        waiter.set_result(
            Answer(
                parser.get_status_code(),
                self._body,
                self._requested_at,
                self._answered_at or self._requested_at,
            )
        )

    def _timed_out(self) -> None:
        said = "did not answer" if self._answered_at is None else "did not finish its answer"
        self._fail(Cause.TIMEOUT, f"{self.where} {said} in time")

    def _fail(self, cause: Cause, message: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ScrapeError(cause, message))


async def connect(
    host: str,
    port: int,
    *,
    context: ssl.SSLContext | None,
    server_name: str,
    max_answer: int,
    deadline: float,
) -> Connection:
    """Open a connection, with TLS when there is a context; the certificate is to name
    `server_name`, a name or an IP address. Raises ScrapeError.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout_at(deadline):
            _, connection = await loop.create_connection(
                lambda: Connection(where, max_answer),
                host,
                port,
                ssl=context,
                server_hostname=server_name if context else None,
            )
    except TimeoutError as error:
        raise ScrapeError(Cause.TIMEOUT, f"no connection to {where} in time") from error
    except OSError as error:
        raise from_connect_error(error, where) from error
    return connection
