"""Decodes a Summary pod by pod: one of any size, and one in which some pods are invalid.

The end of a JSON value is not known before it is decoded, and msgspec does not say where it
stopped. So the end of each pod is guessed: the comma in front of the next `{"podRef":`, as kubelets
begin a pod. If the text up to there is exactly one pod of the right types, the guess was right.
Otherwise the standard library's scanner, which says where it stopped, reads this value, and its
valid part is used. What it reads is bounded, since it takes 10 times as long.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from metricsapi.scrape.decoding import PIECE, DecodeError, Steps, check_pods
from metricsapi.scrape.errors import Cause
from metricsapi.scrape.summary_lenient import lenient_node, lenient_pod
from metricsapi.storage.rates import LARGEST_COUNTER
from metricsapi.storage.types import ContainerStats, PodStats

MAX_POD = 512 * 1024  # bytes of one pod
MAX_SCANNED = 4 * 1024 * 1024  # bytes of an answer that the standard library's scanner reads
_TRIES = (4 * 1024, 64 * 1024, MAX_POD)  # bytes in which the end of a value is looked for
_NEAR = 256  # bytes: what blanks and punctuation between two pods are at most

_POD_REF = b'"podRef"'
_BLANK = b" \t\r\n"
_SPACE = re.compile(rb"[ \t\r\n]*")
_pod_decoder = msgspec.json.Decoder(PodStats)


def _integer(digits: str) -> int | None:
    """Return a number; None for one that no field can have."""
    return int(digits) if len(digits) <= len(str(LARGEST_COUNTER)) else None


_scan = json.JSONDecoder().raw_decode
_scan_long_numbers = json.JSONDecoder(parse_int=_integer).raw_decode


def read_pieces(
    body: bytes | bytearray, max_pods: int
) -> Steps[tuple[ContainerStats, list[PodStats | None]]]:
    """Return the node's own stats, named as in the answer, and its pods.

    A pod is None if nothing says which one it is. Raises DecodeError.
    """
    reader = _Reader(body)
    stats: ContainerStats | None = None
    pods: list[PodStats | None] = []
    for key in reader.members():
        if key == "pods" and reader.peek() == b"[":
            pods = yield from _read_pods(reader, max_pods)
        elif key == "node":
            stats = lenient_node(reader.value())
        else:
            reader.value()
        yield
    if stats is None:
        raise DecodeError("not a Summary: it does not name its node (node.nodeName)")
    return stats, pods


def _read_pods(reader: _Reader, max_pods: int) -> Steps[list[PodStats | None]]:
    pods: list[PodStats | None] = []
    paused_at = reader.at
    for count, _ in enumerate(reader.elements(), 1):
        check_pods(count, max_pods)
        pod = reader.typed_pod()
        guessed = pod is not None
        if pod is None:
            begin, value = reader.at, reader.value()
            pod = reader.typed(begin, reader.at) or lenient_pod(value)
        pods.append(pod)
        if not guessed or reader.at - paused_at > PIECE:
            paused_at = reader.at
            yield
    return pods


class _Reader:
    """A place in a JSON text; errors are DecodeErrors."""

    def __init__(self, body: bytes | bytearray) -> None:
        self.at = 0
        self._body = body
        self._scanned = 0

    def members(self) -> Iterator[str]:
        """Yield each key of an object; the caller reads the value behind it before the next."""
        for _ in self._items(b"{", b"}"):
            key = self.value()
            self._expect(b":")
            yield str(key)
        if self.peek():
            raise self._wrong()

    def elements(self) -> Iterator[None]:
        """Stop at each element of an array; the caller reads it before the next."""
        return self._items(b"[", b"]")

    def peek(self) -> bytes:
        """Return the next byte that is no space; empty at the end."""
        space = _SPACE.match(self._body, self.at, self.at + _TRIES[1])
        self.at = space.end() if space else self.at
        return bytes(self._body[self.at : self.at + 1])

    def typed_pod(self) -> PodStats | None:
        """Read a pod with the right types; None, without moving, if it is none or not known."""
        end = self._guess_end()
        pod = self.typed(self.at, end) if end is not None else None
        if pod is not None and end is not None:
            self.at = end
        return pod

    def typed(self, begin: int, end: int) -> PodStats | None:
        """Decode a pod that is known to stand there; None if a field has not the right type."""
        try:
            return _pod_decoder.decode(self._body[begin:end])
        except (ValueError, RecursionError):
            return None

    def _guess_end(self) -> int | None:
        """Return where the pod ends, if it begins with `podRef` and so does the next, if any."""
        body = self._body
        own = body.find(_POD_REF, self.at, self.at + _NEAR)
        if own < 0:
            return None
        following = body.find(_POD_REF, own + 1, self.at + MAX_POD)
        if following < 0:  # the last pod, in front of the last bracket if `pods` comes last
            end = body.rfind(b"]", self.at, self.at + MAX_POD)
            return end if end > self.at else None
        begin = max(self.at, following - _NEAR)
        before = body[begin:following].rstrip(_BLANK)
        if not before.endswith(b"{"):
            return None
        before = before[:-1].rstrip(_BLANK)
        if not before.endswith(b","):
            return None
        return begin + len(before) - 1

    def value(self) -> Any:
        """Read any value. It is bounded in size, and so are all such values together."""
        self.peek()
        for size in _TRIES:
            # Each byte is a character, so that positions agree; names of pods are ASCII.
            text = self._body[self.at : self.at + size].decode("latin-1")
            try:
                value, end = self._scan(text)
            except DecodeError:
                raise
            except ValueError as error:
                # The error is not kept: with its traceback it would hold this frame and the body.
                self._count(len(text))
                if len(text) < size:
                    raise DecodeError(f"not a Summary: {error}") from error
            else:
                self._count(end)
                self.at += end
                return value
        raise DecodeError(
            f"a pod or another value of the Summary takes more than {MAX_POD} bytes",
            Cause.TOO_LARGE,
        )

    def _scan(self, text: str) -> tuple[Any, int]:
        try:
            try:
                return _scan(text)
            except json.JSONDecodeError:
                raise
            except ValueError:  # a number of thousands of digits, which Python refuses
                return _scan_long_numbers(text)
        except RecursionError as error:
            raise DecodeError("not a Summary: it is nested too deeply") from error

    def _count(self, scanned: int) -> None:
        self._scanned += scanned
        if self._scanned > MAX_SCANNED:
            raise DecodeError("too much of this Summary is damaged to look for what is sound")

    def _items(self, opening: bytes, closing: bytes) -> Iterator[None]:
        self._expect(opening)
        if self.peek() == closing:
            self.at += 1
            return
        while True:
            yield
            if self.peek() == closing:
                self.at += 1
                return
            self._expect(b",")

    def _expect(self, wanted: bytes) -> None:
        if self.peek() != wanted:
            raise self._wrong()
        self.at += 1

    def _wrong(self) -> DecodeError:
        seen = bytes(self._body[self.at : self.at + 40]).decode("utf-8", "replace")
        return DecodeError(f"not a Summary: byte {self.at} is not JSON: {seen!r}")
