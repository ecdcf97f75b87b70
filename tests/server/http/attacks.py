"""What an attacker sends, byte by byte, and what has to come of it.

Each runs against a whole server with small limits, as a caller without any credential unless it
says otherwise; the reviewer lets nobody do anything but `alice`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import chain, repeat

from metricsapi.config.limits import LimitSettings
from tests.support.https_client import Connection

LIMITS = LimitSettings(
    connections=20,
    header_bytes=8192,
    header_count=64,
    target_bytes=1024,
    body_bytes=2048,
    header_timeout=1.0,  # of the handshake, too
    body_timeout=0.4,
    idle_timeout=1.0,
)
CLOSED = "closed"
NODES = "/apis/metrics.k8s.io/v1beta1/nodes"
GET = f"GET {NODES} HTTP/1.1\r\nHost: x\r\n"
LENGTH, CHUNKED = "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n"
MASTER = "X-Remote-User: root\r\nX-Remote-Group: system:masters\r\n"


@dataclass(frozen=True)
class Attack:
    """`sends` bytes, or does something with a connection; `outcome` is a status or CLOSED.

    What it does may give the status itself; else the first answer after it has.
    """

    name: str
    sends: bytes | Callable[[Connection], Awaitable[int | None]]
    outcome: int | str
    section: str = ""

    async def run(self, connection: Connection) -> int | str:
        """Return the status of the first answer, or CLOSED."""
        try:
            if callable(self.sends):
                status = await self.sends(connection)
                if status is not None:
                    return status
            else:
                await connection.send(self.sends)
            return (await connection.answer()).status
        except (asyncio.IncompleteReadError, ConnectionError):
            return CLOSED


def _target(name: str, target: str, outcome: int = 400) -> Attack:
    sends = f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1")
    return Attack(name, sends, outcome, "request targets")


def _framing(name: str, headers: str, body: str = "", outcome: int | str = 400) -> Attack:
    sends = f"POST {NODES} HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}".encode("latin-1")
    return Attack(name, sends, outcome, "smuggling")


async def _slow_headers(connection: Connection) -> int:
    """Send one byte after the other until there is an answer: each gains the sender no time."""

    async def drip() -> None:
        for byte in chain(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", repeat(ord("y"))):
            await connection.send(bytes([byte]))
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    try:
        return (await connection.answer()).status
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


async def _slow_body(connection: Connection) -> None:
    await connection.send(
        f"POST {NODES} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nx".encode()
    )
    await asyncio.sleep(0.6)
    # What the handler had sent by then does not matter: the connection has to end.
    await connection.closed()
    raise ConnectionResetError


async def _nothing(connection: Connection) -> None:
    await connection.closed()
    raise ConnectionResetError


async def _pipelined(connection: Connection) -> None:
    await connection.send((GET + "\r\n").encode() * 200)
    await connection.closed()
    raise ConnectionResetError


async def _endless_body(connection: Connection) -> None:
    head = f"POST {NODES} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    await connection.send(head.encode() + b"400\r\n" + b"x" * 1024 + b"\r\n" + b"400\r\n")
    await connection.send(b"x" * 1024 + b"\r\n800\r\n" + b"x" * 2048)
    await connection.closed()
    raise ConnectionResetError


def _without_end(head: bytes, more: bytes) -> Callable[[Connection], Awaitable[None]]:
    """Send a request by someone unknown that never ends; its connection has to."""

    async def attack(connection: Connection) -> None:
        await connection.send(f"POST {NODES} HTTP/1.1\r\nHost: x\r\n{CHUNKED}\r\n".encode() + head)
        while True:
            await connection.send(more)
            await asyncio.sleep(0.01)

    return attack


ATTACKS = (
    Attack("headers of a front proxy", (GET + MASTER + "\r\n").encode(), 403, "identity"),
    Attack("upper case, and twice", (GET + MASTER.upper() * 2 + "\r\n").encode(), 403, "identity"),
    Attack("an underscore", (GET + "X_Remote_User: root\r\n\r\n").encode(), 403, "identity"),
    Attack("a line break in a token",
           (GET + "Authorization: Bearer a\r\n b\r\n\r\n").encode(), 400, "identity"),
    Attack("a header before the request line", (MASTER + GET + "\r\n").encode(), 400, "identity"),
    Attack("a bare token", (GET + "Authorization: Bearer \r\n\r\n").encode(), 401, "identity"),
    _target("two slashes", "//apis/metrics.k8s.io/v1beta1/nodes"),
    _target("an encoded slash", "/apis/metrics.k8s.io/v1beta1%2fnodes"),
    _target("an encoded backslash", "/apis/metrics.k8s.io/v1beta1%5cnodes"),
    _target("dots", "/healthz/../metrics"),
    _target("encoded dots", "/healthz/%2e%2e/metrics"),
    _target("one dot", "/./metrics"),
    _target("NUL", "/healthz%00/metrics"),
    _target("not UTF-8", "/%ff%fe"),
    _target("a malformed escape", "/healthz%zz"),
    _target("a fragment", "/healthz#/metrics"),
    _target("a tab", "/healthz\t/metrics"),
    _target("no path", "metrics"),
    _target("an absolute form elsewhere", "http://other/metrics", 403),
    _target("an absolute form with dots", "http://other/healthz/../metrics"),
    _target("a semicolon", "/healthz;/metrics", 403),
    _target("a path below an open one", "/healthz/../../apis"),
    _target("upper case", "/HEALTHZ", 403),
    _target("too long", "/" + "a" * 2000, 414),
    _target("a timeout that reads in many ways", "/metrics?timeout=" + "00s" * 60 + "x", 403),
    Attack("CONNECT", b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "request targets"),
    Attack("the star", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400, "request targets"),
    _framing("two lengths", "Content-Length: 3\r\nContent-Length: 4\r\n", "abc"),
    _framing("length and chunks", f"{LENGTH}{CHUNKED}", "0\r\n\r\n"),
    _framing("chunks and length", f"{CHUNKED}{LENGTH}", "0\r\n\r\n"),
    _framing("an unknown coding", "Transfer-Encoding: identity\r\n", ""),
    _framing("two codings", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
    _framing("a hidden coding", "Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
    _framing("a signed length", "Content-Length: +3\r\n", "abc"),
    _framing("a space before the colon", "Content-Length : 3\r\n", "abc"),
    _framing("a folded header", "X: a\r\n b\r\n", ""),
    _framing("a bare line feed", "X: a\nY: b\r\n", ""),
    Attack("no Host", f"GET {NODES} HTTP/1.1\r\n\r\n".encode(), 400, "smuggling"),
    Attack("two Hosts", (GET + "Host: y\r\n\r\n").encode(), 400, "smuggling"),
    Attack("an upgrade", (GET + "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n").encode(), 400,
           "smuggling"),
    Attack("HTTP/2 at once", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "smuggling"),
    Attack("HTTP/0.9", b"GET /metrics\r\n\r\n", 400, "smuggling"),
    Attack("not HTTP at all", b"\x16\x03\x01" * 50, 400, "smuggling"),
    Attack("many headers", (GET + "X: y\r\n" * 100 + "\r\n").encode(), 431, "exhaustion"),
    Attack("a large header", (GET + f"X: {'y' * 9000}\r\n\r\n").encode(), 431, "exhaustion"),
    Attack("an endless header", (GET + "X: " + "y" * 40000).encode(), 431, "exhaustion"),
    _framing("a large body", "Content-Length: 4096\r\n", "", 413),
    _framing("a length of 30 digits", f"Content-Length: {'9' * 30}\r\n", "", 400),
    Attack("an endless body", _endless_body, CLOSED, "exhaustion"),
    Attack("an endless chunk extension", _without_end(b"3;a=", b"b" * 999), CLOSED, "exhaustion"),
    Attack("an endless trailer", _without_end(b"0\r\nX: ", b"y" * 999), CLOSED, "exhaustion"),
    Attack("trailers without end", _without_end(b"0\r\n", b"X: y\r\n" * 99), CLOSED, "exhaustion"),
    Attack("a chunk size without end", _without_end(b"0", b"0" * 999), CLOSED, "exhaustion"),
    Attack("slow headers", _slow_headers, 408, "exhaustion"),
    Attack("a slow body", _slow_body, CLOSED, "exhaustion"),
    Attack("saying nothing", _nothing, CLOSED, "exhaustion"),
    Attack("200 requests at once", _pipelined, CLOSED, "exhaustion"),
)  # fmt: skip
