"""The body of a response as it comes: gzip undone, bounded in size and in number of pieces."""

from __future__ import annotations

import zlib
from typing import Protocol

from metricsapi.scrape.errors import Cause, ScrapeError

_PIECES = 4096  # of a body, and members of its gzip, that are taken whatever their size
_PIECE = 64  # bytes: the least average size of further pieces; smaller ones cost too much CPU
_NOTHING = frozenset({"", "identity"})
_GZIP = (["gzip"], ["x-gzip"])


class Inflate(Protocol):
    """What `zlib.decompressobj` gives."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Body:
    """The body of a response as it comes, with gzip undone; at most `limit` bytes are kept.

    `coding` is its Content-Encoding. Errors are ScrapeErrors; `where` names the peer in them.
    """

    def __init__(self, where: str, limit: int, coding: str = "") -> None:
        self.data = bytearray()
        self._where = where
        self._limit = limit
        self._pieces = 0
        codings = [
            name for part in coding.lower().split(",") if (name := part.strip()) not in _NOTHING
        ]
        self._inflate = _inflate() if codings in _GZIP else None
        if self._inflate is None and codings:
            raise ScrapeError(
                Cause.DECODE, f"{where} answered in Content-Encoding {coding[:40]!r}, unasked for"
            )

    @property
    def complete(self) -> bool:
        """Whether gzip, if there is any, came to its end."""
        return self._inflate is None or self._inflate.eof

    def add(self, data: bytes) -> None:
        """Add the next piece."""
        self._count_piece()
        if self._inflate is None:
            self.data += data
        else:
            self._add_inflated(data)
        if len(self.data) > self._limit:
            raise too_large(self._where, self._limit)

    def _count_piece(self) -> None:
        self._pieces += 1
        if self._pieces > _PIECES + len(self.data) // _PIECE:
            raise ScrapeError(
                Cause.TOO_LARGE, f"{self._where} answered in too many pieces of a few bytes each"
            )

    def _add_inflated(self, data: bytes) -> None:
        """Undo gzip, of one member after the other (RFC 1952, 2.2), up to the limit."""
        while data and len(self.data) <= self._limit:
            if self._inflate is None or self._inflate.eof:
                self._count_piece()
                self._inflate = _inflate()
            try:
                self.data += self._inflate.decompress(data, self._limit - len(self.data) + 1)
            except zlib.error as error:
                raise ScrapeError(
                    Cause.DECODE, f"{self._where} answered with gzip that cannot be undone: {error}"
                ) from error
            data = self._inflate.unused_data


def too_large(where: str, limit: int) -> ScrapeError:
    return ScrapeError(Cause.TOO_LARGE, f"{where} answered more than {limit} bytes")


def _inflate() -> Inflate:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
