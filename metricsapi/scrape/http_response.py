"""The response to one request over HTTP/1.1, without I/O: bytes in, a `Response` out.

httptools parses; this module decides what counts as a whole response, and how much of it is taken.
Accepted are bodies by Content-Length, in chunked coding, and up to the end of the connection (RFC
9112, 6.3), interim 1xx responses before it (RFC 9110, 15.2), and gzip, which is undone. So are, as
by Go's client, folded header lines, lines that end with LF alone, blanks behind the size of a
chunk, and a Content-Length that is repeated, or that stands beside chunks and counts for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

import httptools
from msgspec import Struct

from metricsapi.scrape.errors import Cause, ScrapeError, broken_off
from metricsapi.scrape.response_body import Body, too_large

MAX_HEAD = 64 * 1024  # bytes of status line and headers, interim responses included
_LENGTH = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*([0-9]+)[ \t]*\r?\n")
_HEAD_END = re.compile(rb"\n\r?\n")


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
        self._parser = self._new_parser()
        self._received = 0
        self._arrived_at = 0.0  # when the bytes that are being parsed came
        self._answered_at = 0.0
        self._in_head = True
        self._head = b""  # what has come of a head that is not complete
        self._headers: dict[str, str] = {}  # by name in lower case; equal names are joined
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
        """Parse the next bytes. Raises ScrapeError when they cannot become a response."""
        if self.whole:
            self.reusable = False  # bytes that belong to no request
            return
        self.started = True
        self._received += len(data)
        self._arrived_at = arrived_at
        self._parse(data)
        self._check_sizes()

    def end(self, *, clean: bool) -> None:
        """Handle the end of the connection; it ends a body of which no length is known.

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
            return broken_off(self._where)
        return ScrapeError(Cause.RESET, f"{self._where} closed the connection without an answer")

    # callbacks of httptools
    def on_message_begin(self) -> None:
        if self.response is not None:
            self.reusable = False
        self._in_head = True
        self._answered_at = self._arrived_at
        self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        before = self._headers.get(key)
        self._headers[key] = text if before is None else f"{before}, {text}"

    def on_headers_complete(self) -> None:
        if self.response is not None or _is_interim(self._parser.get_status_code()):
            return
        self._in_head = False
        self._body = Body(self._where, self._limit, self._headers.get("content-encoding", ""))
        if (coding := self._headers.get("transfer-encoding")) is not None:
            if coding.lower() != "chunked":
                self._fail(Cause.NOT_HTTP, f"answered in Transfer-Encoding {coding[:40]!r}")
            return
        length = self._headers.get("content-length", "")
        if len(length) > len(str(self._limit)) or int(length or 0) > self._limit:
            raise too_large(self._where, self._limit)  # known before any of it has come

    def on_body(self, data: bytes) -> None:
        if self.response is None:
            self._body.add(data)

    def on_message_complete(self) -> None:
        if self.response is None and not _is_interim(self._parser.get_status_code()):
            self._complete(cut_possible=False)

    def _new_parser(self) -> Any:
        """Return a parser that is lenient where nothing is ambiguous."""
        parser = httptools.HttpResponseParser(self)
        parser.set_dangerous_leniencies(
            lenient_headers=True,  # folded lines, control characters in values
            lenient_chunked_length=True,  # a Content-Length beside chunks, which counts for nothing
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        return parser

    def _parse(self, data: bytes | memoryview) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if isinstance(error.__context__, ScrapeError):  # raised in a callback below
                raise error.__context__ from None
            if not self.whole:
                self._parse_again(self._head + data, error)
            self.reusable = False
        else:
            if self._in_head:
                self._head += data

    def _parse_again(self, head: bytes, error: Exception) -> None:
        """Parse a head again that repeats its Content-Length, which the parser does not take."""
        if self._in_head and _repeats_length(head):
            self._head = head
            if _HEAD_END.search(head) is None:
                return  # the rest of it is to come
            once = _with_length_once(head)
            if once != head:
                self._parser, self._head = self._new_parser(), b""
                self._parse(once)
                return
        self._fail(Cause.NOT_HTTP, f"answered what is not HTTP/1.1: {error}")

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
        return "transfer-encoding" in self._headers or "content-length" in self._headers

    def _fail(self, cause: Cause, message: str) -> NoReturn:
        raise ScrapeError(cause, f"{self._where} {message}")


def _is_interim(status: int) -> bool:
    """Return whether a response only announces another; 101 instead ends HTTP on the connection."""
    return 100 <= status < 200 and status != 101


def _repeats_length(head: bytes) -> bool:
    return head.lower().count(b"\ncontent-length") > 1


def _with_length_once(head: bytes) -> bytes:
    """Leave out each Content-Length of a head that an equal one precedes (RFC 9112, 6.3)."""
    end = _HEAD_END.search(head)
    fields, rest = (head[: end.start() + 1], head[end.start() + 1 :]) if end else (head, b"")
    seen: set[bytes] = set()

    def once(field: re.Match[bytes]) -> bytes:
        length = field[1]
        again = length in seen
        seen.add(length)
        return b"" if again else field[0]

    return _LENGTH.sub(once, fields) + rest
