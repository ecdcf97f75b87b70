"""Sends the responses of a stand-in kubelet as a kubelet does, or with a fault of delivery."""

from __future__ import annotations

import asyncio

from metricsapi.tools.sandbox.faults import Fault
from metricsapi.tools.sandbox.tls_records import buffered_writes

TRICKLE_SECONDS = 0.2  # between two bytes
OVERSIZE = 100_000_000  # bytes
WITHOUT_LENGTH = 2048  # bytes of a body above which net/http declares no length
_ENDLESS_CHUNK = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
_CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"


class Delivery:
    """Sends responses on one connection. `paused` while the peer does not read as fast."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.paused = False
        self.transport = transport

    def send(self, head: str, body: bytes, fault: Fault) -> None:
        """Send a response; `head` lacks the header that says where the body ends."""
        transport = self.transport
        if fault is Fault.CHUNKED:
            transport.write(f"{head}{_CHUNKED}".encode() + _odd_chunks(body))
        elif fault is Fault.ENDLESS:
            transport.write(f"{head}{_CHUNKED}".encode())
            self._write_for_ever()
        elif fault is Fault.OVERSIZE:
            transport.write(f"{head}Content-Length: {OVERSIZE}\r\n\r\n".encode() + body)
        elif fault in (Fault.TRUNCATE, Fault.HANG_BODY):
            response = b"".join(_writes(head, body))
            transport.write(response[: len(response) // 2])
            if fault is Fault.TRUNCATE:
                transport.close()
        elif fault is Fault.TRICKLE:
            self._trickle(b"".join(_writes(head, body)))
        else:
            if fault is Fault.GARBAGE:
                body = b"\x00\xff<html>" + body[:1000]
            for each in _writes(head, body):
                transport.write(each)

    def _write_for_ever(self) -> None:
        if not self.transport.is_closing():
            if not self.paused:
                self.transport.write(_ENDLESS_CHUNK)
            asyncio.get_running_loop().call_later(0.005, self._write_for_ever)

    def _trickle(self, rest: bytes) -> None:
        if rest and not self.transport.is_closing():
            self.transport.write(rest[:1])
            asyncio.get_running_loop().call_later(TRICKLE_SECONDS, self._trickle, rest[1:])


def _writes(head: str, body: bytes) -> list[bytes]:
    """Return what net/http writes: a body in one chunk, or with its length if it is short."""
    if len(body) > WITHOUT_LENGTH:
        coded = f"{head}{_CHUNKED}{len(body):x}\r\n".encode()
        return buffered_writes(coded, body, b"\r\n0\r\n\r\n")
    return buffered_writes(f"{head}Content-Length: {len(body)}\r\n\r\n".encode(), body, b"")


def _odd_chunks(body: bytes) -> bytes:
    """Write a body in chunks of odd sizes, with an extension and a trailer (RFC 9112, 7.1)."""
    parts, at, size = [], 0, 1
    while at < len(body):
        piece = body[at : at + size]
        parts.append(f"{len(piece):X};odd=1\r\n".encode() + piece + b"\r\n")
        at, size = at + size, min(size * 3 + 1, 16384)
    return b"".join([*parts, b"0\r\nX-Trailer: yes\r\n\r\n"])
