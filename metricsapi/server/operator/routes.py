"""Shared by the routes of operators: formats by `Accept`, and bodies made in slices."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from metricsapi.api.asgi import accept_of, query_of
from metricsapi.api.render.negotiation import choose_format
from metricsapi.api.streaming import PIECE
from metricsapi.kube.slices import in_slices

READ = ["GET", "HEAD"]  # methods of every route
TEXT_KINDS = {"text": "text/plain", "json": "application/json", "html": "text/html"}
NOT_ACCEPTABLE = "available are text/plain, application/json and text/html\n"


def wanted_format(request: Request) -> str | None:
    """Return the key of `TEXT_KINDS` that a caller wants; None if it accepts none of them."""
    return choose_format(query_of(request.scope), accept_of(request.scope), TEXT_KINDS)


async def respond_in_slices(pieces: Iterable[bytes], headers: Mapping[str, str]) -> Response:
    """Return a response whose body is these small `pieces`, made and sent in slices.

    All of it is made before the first byte is sent, so a failure is a 500, and the values are of
    one moment however slowly the caller reads. The pieces stay apart, since to
    copy or encrypt 7 MB at once blocked the event loop for 20 ms.
    """
    parts: deque[bytes] = deque()
    async for slice_ in in_slices(pieces):
        text = b"".join(slice_)
        parts += [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    length = str(sum(map(len, parts)))
    return StreamingResponse(_one_at_a_time(parts), headers={**headers, "Content-Length": length})


async def _one_at_a_time(parts: deque[bytes]) -> AsyncIterator[bytes]:
    while parts:
        yield parts.popleft()  # and free it: all of them at once took 13 ms
        await asyncio.sleep(0)
