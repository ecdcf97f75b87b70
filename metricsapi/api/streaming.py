"""Sends response bodies: small ones whole, large ones in pieces, some compressed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from itertools import chain, islice

from metricsapi.api.batches import Batches, count
from metricsapi.api.render.frame import Frame
from metricsapi.api.status import CACHE_CONTROL, Headers, Send

PIECE = 128 * 1024  # bytes that are joined and handed to the transport at once
PIECES = 4  # pieces, some 0.5 ms of work, after which the event loop runs other tasks
COMPRESS_FROM = 128 * 1024  # bytes, as Kubernetes
COMPRESSION = 1  # zlib's level, as Kubernetes: large lists are for networks that are close


async def send_framed(
    send: Send,
    content_type: str,
    frame: Frame,
    batches: Batches[bytes] = (),
    items_size: int = 0,
    *,
    gzip: bool = False,
) -> None:
    """Send a 200 of framed items, `items_size` bytes together.

    With `gzip` it is compressed from `COMPRESS_FROM` bytes on. The whole body of a large response
    never exists at once, and between some pieces the loop runs other tasks.
    """
    number = count(batches)
    between = len(frame.separator) * max(0, number - 1)
    size = len(frame.head) + items_size + between + len(frame.tail)
    headers: Headers = [CACHE_CONTROL, (b"content-type", content_type.encode())]
    if gzip and size >= COMPRESS_FROM:
        await _send_compressed(send, headers, _pieces(frame, batches, number, size))
    elif size > PIECE:
        await _send_pieces(send, headers, _pieces(frame, batches, number, size), size)
    else:
        body = frame.head + frame.separator.join(chain.from_iterable(batches)) + frame.tail
        await _send_whole(send, headers, body)


async def _send_whole(send: Send, headers: Headers, body: bytes) -> None:
    await _start(send, [*headers, (b"content-length", b"%d" % len(body))])
    await send({"type": "http.response.body", "body": body})


async def _send_pieces(send: Send, headers: Headers, pieces: Iterator[bytes], size: int) -> None:
    await _start(send, [*headers, (b"content-length", b"%d" % size)])
    for sent, piece in enumerate(pieces, 1):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        if sent % PIECES == 0:
            await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})


async def _send_compressed(send: Send, headers: Headers, pieces: Iterator[bytes]) -> None:
    """Compress in a thread: zlib releases the interpreter lock, so the loop runs meanwhile."""
    coding = [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
    await _start(send, [*headers, *coding])
    gzip = zlib.compressobj(COMPRESSION, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for piece in pieces:
        body = await asyncio.to_thread(gzip.compress, piece)
        if body:
            await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": gzip.flush()})


async def _start(send: Send, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})


def _pieces(frame: Frame, batches: Batches[bytes], number: int, size: int) -> Iterator[bytes]:
    """Cut a body into pieces of about `PIECE` bytes, taking items to be of much the same size."""
    items, per_piece = chain.from_iterable(batches), max(1, number * PIECE // size)
    before = frame.head
    for _ in range(0, number, per_piece):
        yield before + frame.separator.join(islice(items, per_piece))
        before = frame.separator
    yield (frame.tail if number else frame.head + frame.tail)
