"""Answers on their way: small ones in one piece, large ones in pieces that let others through."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from itertools import chain, islice

from metricsapi.api.batches import Batches, count
from metricsapi.api.render.frame import Frame
from metricsapi.api.status import CACHE_CONTROL, Headers, Send

PIECE = 128 * 1024  # bytes that are joined and handed to the transport in one go
PIECES = 4  # between two turns of the loop: some 0.5 ms, and few answers need more
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
    """Send a 200 of framed items, `items_size` bytes together; `gzip` where that is worth it.

    The whole body never exists at once, and between some pieces the loop runs other tasks.
    """
    number = count(batches)
    between = len(frame.separator) * max(0, number - 1)
    size = len(frame.head) + items_size + between + len(frame.tail)
    headers: Headers = [CACHE_CONTROL, (b"content-type", content_type.encode())]
    compressed = gzip and size >= COMPRESS_FROM
    if compressed:
        headers += [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
    else:
        headers.append((b"content-length", b"%d" % size))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if size <= PIECE:
        body = frame.head + frame.separator.join(chain.from_iterable(batches)) + frame.tail
        await send({"type": "http.response.body", "body": body})
        return
    pieces = _pieces(frame, batches, number, size)
    if compressed:
        await _send_compressed(send, pieces)
        return
    for sent, piece in enumerate(pieces, 1):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        if sent % PIECES == 0:
            await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})


async def _send_compressed(send: Send, pieces: Iterator[bytes]) -> None:
    """Compress in a thread: zlib lets go of the interpreter, so the loop runs meanwhile."""
    gzip = zlib.compressobj(COMPRESSION, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for piece in pieces:
        body = await asyncio.to_thread(gzip.compress, piece)
        if body:
            await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": gzip.flush()})


def _pieces(frame: Frame, batches: Batches[bytes], number: int, size: int) -> Iterator[bytes]:
    """Cut a body into pieces of about `PIECE` bytes, taking items to be of much the same size."""
    items, some = chain.from_iterable(batches), max(1, number * PIECE // size)
    before = frame.head
    for _ in range(0, number, some):
        yield before + frame.separator.join(islice(items, some))
        before = frame.separator
    yield (frame.tail if number else frame.head + frame.tail)
