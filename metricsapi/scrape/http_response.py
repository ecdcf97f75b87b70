"""The response to one request over HTTP/1.1, without I/O: bytes in, a `Response` out.

httptools parses; this module decides what counts as a whole response, and how much of it is taken.
Accepted are bodies by Content-Length, in chunked coding, and up to the end of the connection (RFC
9112, 6.3), interim 1xx responses before it (RFC 9110, 15.2), and gzip, which is undone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import httptools
from msgspec import Struct

from metricsapi.scrape.errors import Cause, ScrapeError

MAX_HEAD = 64 * 1024  # bytes of status line and headers, interim responses included
_PIECES = 4096  # of a body, that are taken whatever their size
_PIECE = 64  # bytes: the least average size of further pieces; smaller ones cost too much CPU
_NOTHING = frozenset({"", "identity"})
_GZIP = frozenset({"gzip", "x-gzip"})


class Inflate(Protocol):
    """What `zlib.decompressobj` gives."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _nothing() -> None:
    pass


class Response(Struct):
    """A whole response, with the times of the exchange in monotonic seconds."""

    status: int
    body: bytes | bytearray
    requested_at: float  # just before the request was written
    answered_at: float  # when the first byte of this response had come
    location: str = ""  # of a redirect, which is not followed
    retry_after: str = ""
    release: Callable[[], None] = _nothing  # to be called once the body is used no more
    cut_possible: bool = False  # it ended with the connection, and nothing says that it is whole


class Body:
    """The body of a response as it comes, with gzip undone; at most `limit` bytes are kept.

    `coding` is its Content-Encoding. Errors are ScrapeErrors; `where` names the peer in them.
    """

    def __init__(self, where: str, limit: int, coding: str = "") -> None:
        self.data = bytearray()
        self._where = where
        self._limit = limit
        self._pieces = 0
        coding = coding.strip().lower()
        self._inflate = _inflate() if coding in _GZIP else None
        if self._inflate is None and coding not in _NOTHING:
            raise ScrapeError(
                Cause.DECODE, f"{where} answered in Content-Encoding {coding[:40]!r}, unasked for"
            )

    @property
    def complete(self) -> bool:
        """Whether gzip, if there is any, came to its end."""
        return self._inflate is None or self._inflate.eof

    def add(self, data: bytes) -> None:
        """Take the next piece."""
        self._pieces += 1
        if self._pieces > _PIECES + len(self.data) // _PIECE:
            raise ScrapeError(
                Cause.TOO_LARGE, f"{self._where} answered in too many pieces of a few bytes each"
            )
        if self._inflate is None:
            self.data += data
        else:
            self._add_inflated(data)
        if len(self.data) > self._limit:
            raise too_large(self._where, self._limit)

    def _add_inflated(self, data: bytes) -> None:
        """Undo gzip, of one member after the other (RFC 1952, 2.2), up to the limit."""
        while data and len(self.data) <= self._limit:
            if self._inflate is None or self._inflate.eof:
                self._inflate = _inflate()
            try:
                self.data += self._inflate.decompress(data, self._limit - len(self.data) + 1)
            except zlib.error as error:
                raise ScrapeError(
                    Cause.DECODE, f"{self._where} answered with gzip that cannot be undone: {error}"
                ) from error
            data = self._inflate.unused_data


class ResponseReader:
    """Reads the response to one request. `where` names the peer in errors.

    `limit` is the largest body in bytes, after gzip is undone. Errors are ScrapeErrors.
    """

    def __init__(self, where: str, limit: int, requested_at: float) -> None:
        self.response: Response | None = None  # once it is whole
        self.reusable = False  # whether the connection may carry another request afterwards
        self.started = False  # whether a byte of any response has come
        self._where = where
        self._limit = limit
        self._requested_at = requested_at
        self._parser: Any = httptools.HttpResponseParser(self)
        self._received = 0
        self._arrived_at = 0.0  # when the bytes that are being parsed came
        self._answered_at = 0.0
        self._in_head = True
        self._headers: dict[str, str] = {}  # the last one of each name, lower-case
        self._body = Body(where, limit)

    @property
    def whole(self) -> bool:
        """Whether `response` is there."""
        return self.response is not None

    @property
    def size(self) -> int:
        """Bytes of the body so far."""
        return len(self._body.data)

    def feed(self, data: bytes | memoryview, arrived_at: float) -> None:
        """Take the next bytes. Raises ScrapeError when they cannot become a response."""
        if self.whole:
            self.reusable = False  # bytes that belong to no request
            return
        self.started = True
        self._received += len(data)
        self._arrived_at = arrived_at
        self._parse(data)
        self._check_sizes()

    def end(self, *, clean: bool) -> None:
        """Take the end of the connection; it ends a body of which no length is known.

        `clean` says that the peer ended its answer on purpose. Raises ScrapeError when there is no
        whole response.
        """
        if self.response is None:
            if self._in_head or self._framed():
                raise self.lost()
            self._complete(cut_possible=not clean)
        self.reusable = False

    def discard(self) -> None:
        """Free the parser and the body, of megabytes: they and this reader refer to each other."""
        self._parser = None
        self._body = Body(self._where, 0)

    def lost(self) -> ScrapeError:
        """Return the error for a connection that broke before the response was whole."""
        if self.started:
            return ScrapeError(Cause.TRUNCATED, f"{self._where} broke off within its answer")
        return ScrapeError(Cause.RESET, f"{self._where} closed the connection without an answer")

    # callbacks of httptools
    def on_message_begin(self) -> None:
        if self.response is not None:
            self.reusable = False
        self._in_head = True
        self._answered_at = self._arrived_at
        self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self.response is not None or _is_interim(self._parser.get_status_code()):
            return
        self._in_head = False
        coding = self._headers.get("content-encoding", "")
        self._body = Body(self._where, self._limit, coding)
        length = self._headers.get("content-length", "")
        if len(length) > len(str(self._limit)) or int(length or 0) > self._limit:
            raise too_large(self._where, self._limit)  # known before any of it has come

    def on_body(self, data: bytes) -> None:
        if self.response is None:
            self._body.add(data)

    def on_message_complete(self) -> None:
        if self.response is None and not _is_interim(self._parser.get_status_code()):
            self._complete(cut_possible=False)

    def _parse(self, data: bytes | memoryview) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if isinstance(error.__context__, ScrapeError):  # raised in a callback below
                raise error.__context__ from None
            if not self.whole:
                self._fail(Cause.NOT_HTTP, f"answered what is not HTTP/1.1: {error}")
            self.reusable = False

    def _check_sizes(self) -> None:
        if self.whole:
            return
        if self._received > self._limit + MAX_HEAD:
            raise too_large(self._where, self._limit)
        if self._in_head and self._received > MAX_HEAD:
            self._fail(Cause.TOO_LARGE, f"answered with headers of more than {MAX_HEAD} bytes")

    def _complete(self, *, cut_possible: bool) -> None:
        self.response = Response(
            self._parser.get_status_code(),
            self._body.data,
            self._requested_at,
            self._answered_at,
            self._headers.get("location", ""),
            self._headers.get("retry-after", ""),
            cut_possible=cut_possible or not self._body.complete,
        )
        self.reusable = self._parser.should_keep_alive()

    def _framed(self) -> bool:
        """Return whether the headers say how long the body is."""
        chunked = "chunked" in self._headers.get("transfer-encoding", "").lower()
        return chunked or "content-length" in self._headers

    def _fail(self, cause: Cause, message: str) -> NoReturn:
        raise ScrapeError(cause, f"{self._where} {message}")


def too_large(where: str, limit: int) -> ScrapeError:
    return ScrapeError(Cause.TOO_LARGE, f"{where} answered more than {limit} bytes")


def _inflate() -> Inflate:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


def _is_interim(status: int) -> bool:
    """Return whether a response only announces another; 101 instead ends HTTP on the connection."""
    return 100 <= status < 200 and status != 101
