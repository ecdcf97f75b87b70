"""The ways in which a kubelet fails here."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.kubelet import http

FOREVER = 3600.0


@dataclass(frozen=True)
class Fault:
    """`answer(kubelet, writer)` is what it does when asked; `cause` what it is to be counted as;
    `costs` what it may cost: the node, one pod of it, or nothing; `listens` with which
    certificate, or `no`.
    """

    name: str
    cause: str
    answer: Callable | None = None
    costs: str = "node"
    listens: str = "well"


async def slow(kubelet, writer):
    await asyncio.sleep(0.3)
    writer.write(http(kubelet.summary()))


async def hanging(_, writer):
    await asyncio.sleep(FOREVER)


async def trickling(_, writer):
    for byte in http(b"x" * 10_000):
        if writer.transport.is_closing():
            return
        writer.write(bytes([byte]))
        await asyncio.sleep(0.2)


async def resetting(_, writer):
    writer.transport.abort()


async def truncated(kubelet, writer):
    writer.write(http(kubelet.summary())[:-100])
    await writer.drain()
    writer.close()


async def oversized(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.transport.is_closing():
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)  # `drain` gives the loop no turn to notice that the peer has gone


async def garbage(_, writer):
    writer.write(bytes(range(256)) * 8)


async def not_json(_, writer):
    writer.write(http(b"<html>hello</html>"))


async def wrong_node(kubelet, writer):
    writer.write(http(kubelet.summary(node="another-node")))


async def wrong_time(kubelet, writer):
    writer.write(http(kubelet.summary(ahead=7200.0)))


async def mistyped(kubelet, writer):
    writer.write(http(kubelet.summary(broken={"usageCoreNanoSeconds": "a lot"})))


async def absurd(kubelet, writer):
    writer.write(http(kubelet.summary(broken={"usageCoreNanoSeconds": 10**30})))


async def forbidden(_, writer):
    writer.write(http(b"Forbidden (user=x, verb=get, resource=nodes, subresource=stats)", 403))


async def unauthorized(_, writer):
    writer.write(http(b"Unauthorized", 401))


async def failing(_, writer):
    writer.write(http(b"internal error", 500))


FAULTS = (
    Fault("slow", "ok", slow, costs="nothing"),
    Fault("hanging", "timeout", hanging),
    Fault("trickling", "timeout", trickling),
    Fault("refusing", "refused", listens="no"),
    Fault("resetting", "reset", resetting),
    Fault("truncated", "truncated", truncated),
    Fault("oversized", "too_large", oversized),
    Fault("garbage", "not_http", garbage),
    Fault("not-json", "decode", not_json),
    Fault("wrong-node", "decode", wrong_node),
    Fault("wrong-time", "ok", wrong_time),
    Fault("mistyped-field", "ok", mistyped, costs="pod"),
    Fault("absurd-field", "ok", absurd, costs="pod"),
    Fault("unauthorized", "unauthorized", unauthorized),
    Fault("forbidden", "forbidden", forbidden),
    Fault("failing", "status", failing),
    Fault("expired-certificate", "certificate_expired", listens="expired"),
    Fault("unknown-authority", "certificate_unknown_ca", listens="stranger"),
    Fault("self-signed", "certificate_self_signed", listens="self-signed"),
)
