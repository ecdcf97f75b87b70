"""Requests as kube-apiserver's proxies pass them on: Go's header names, order and escapes.

The recording `aggregator-requests.jsonl` shows them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from string import ascii_letters, digits
from urllib.parse import parse_qsl, quote, urlencode

import httpx
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from metricsapi.tools.sandbox.rbac import User

Headers = list[tuple[str, str]]
HOP = frozenset({
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
# A header name's characters (RFC 9110) but for the percent sign that escapes the others.
_LEGAL = frozenset((ascii_letters + digits + "!#$&'*+-.^_`|~").encode())
# What Go leaves as it is in a path.
_PATH = "/$&+,:;=@"


def target_of(request: Request) -> str:
    """Return path and query as Go encodes them: keys sorted, everything escaped."""
    query = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    path = quote(request.scope["path"], safe=_PATH)
    pairs = sorted(query, key=lambda pair: pair[0])
    return f"{path}?{urlencode(pairs)}" if pairs else path


def headers_to(host: str, target: str, *, user: User, client: str, kept: Headers) -> Headers:
    """Return the headers of a request passed on for a user; `kept` are its own.

    `client` is the address that it came from, empty for one of the API server itself.
    """
    own = [(canonical(name), value) for name, value in kept]
    own += [("X-Forwarded-For", client)] if client else []
    own += [
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Uri", target.partition("?")[0]),
        *identity(user),
    ]
    return in_go_order(host, own)


def identity(user: User) -> Headers:
    """Return the identity headers of a user."""
    headers = [("X-Remote-User", user.name)]
    headers += [("X-Remote-Uid", user.uid)] if user.uid else []
    headers += [("X-Remote-Group", group) for group in user.groups]
    return headers + [
        (canonical(f"X-Remote-Extra-{_escaped(key)}"), value) for key, value in user.extra
    ]


def in_go_order(host: str, headers: Headers) -> Headers:
    """Order headers as Go's client does, which offers gzip when the client did not ask for any."""
    agent = [pair for pair in headers if pair[0] == "User-Agent"]
    others = sorted((p for p in headers if p[0] not in ("User-Agent", "Host")), key=lambda p: p[0])
    gzip = [] if any(name == "Accept-Encoding" for name, _ in others) else [_GZIP]
    return [("Host", host), *agent, *others, *gzip]


_GZIP = ("Accept-Encoding", "gzip")


def passed_on(headers: Mapping[str, str]) -> Headers:
    """Return the headers of a request that a proxy keeps: no credentials, no identity."""
    dropped = {*HOP, "host", "authorization", "content-length"}
    prefixes = ("x-remote-", "x-forwarded-", "impersonate-")
    items: Iterable[tuple[str, str]] = headers.items()
    return [(n, v) for n, v in items if n not in dropped and not n.startswith(prefixes)]


def canonical(name: str) -> str:
    """Return a header's name as Go writes it: `X-Remote-User`."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def _escaped(key: str) -> str:
    return "".join(chr(c) if c in _LEGAL else f"%{c:02x}" for c in key.encode())


def streamed(request: Request, upstream: httpx.Response) -> Response:
    """Forward a response as it comes; when it breaks off, so does the client's connection."""
    offered = "accept-encoding" in request.headers
    dropped = HOP if offered else HOP | {"content-encoding", "content-length"}
    chunks = upstream.aiter_raw() if offered else upstream.aiter_bytes()
    response = StreamingResponse(_until_broken(request, upstream, chunks), upstream.status_code)
    response.raw_headers = [
        (name, value)
        for name, value in upstream.headers.raw
        if name.lower().decode("latin-1") not in dropped
    ]
    return response


async def _until_broken(
    request: Request, upstream: httpx.Response, chunks: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    except httpx.HTTPError:
        request.scope["state"]["abort"]()
        await asyncio.Event().wait()  # it is cancelled with the connection
    finally:
        await upstream.aclose()
