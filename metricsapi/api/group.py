"""The group metrics.k8s.io as an ASGI app: every path below `/apis/metrics.k8s.io`.

It is the hot path (each HPA asks it every period), so it stands directly on ASGI; what a request
means is worked out once for each distinct query and `Accept` header.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from starlette.types import Receive, Scope, Send

from metricsapi.api.discovery import Documents
from metricsapi.api.list_options import Options, get_options, list_options, pretty_option
from metricsapi.api.listing import Listing
from metricsapi.api.render.negotiation import MediaType, allows_meta, allows_plain, negotiate
from metricsapi.api.representations import Request
from metricsapi.api.resource import GROUP, VERSIONS, Resource
from metricsapi.api.status import (
    StatusError,
    no_such_method,
    no_such_resource,
    not_acceptable,
    send_status,
)

ROOT = f"/apis/{GROUP}"
REMEMBERED = 1024  # distinct queries whose meaning is kept
REMEMBERED_BYTES = 512  # longer ones are worked out each time


class GroupAPI:
    """Answers discovery, lists and objects of the group."""

    def __init__(self, resources: list[Resource], documents: Documents, listing: Listing) -> None:
        self._resources = {one.name: one for one in resources}
        self._documents = documents
        self._listing = listing
        self._options = lru_cache(REMEMBERED)(self._read_options)
        self._media = lru_cache(REMEMBERED)(_read_accept)

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        headers = _headers(scope)
        try:
            await self._answer(scope, headers, send)
        except StatusError as error:
            asked = pretty_option(scope["query_string"].decode("latin-1"))
            pretty = _wants_pretty(asked, headers)
            await send_status(send, error, headers.get(b"accept", ""), pretty=pretty)

    async def _answer(self, scope: Scope, headers: dict[bytes, str], send: Send) -> None:
        parts = scope["path"][len(ROOT) :].strip("/").split("/")
        answer = self._route(parts)
        if answer is None:
            raise no_such_resource()
        if scope["method"] != "GET":
            raise no_such_method()
        await answer(scope, headers, send)

    def _route(
        self, parts: list[str]
    ) -> Callable[[Scope, dict[bytes, str], Send], Awaitable[None]] | None:
        match parts:
            case [""]:
                return self._document("")
            case [version] if version in VERSIONS:
                return self._document(version)
            case [version, "nodes", *name] if version in VERSIONS and len(name) < 2:
                return self._resource("nodes", version, None, name)
            case [version, "pods"] if version in VERSIONS:
                return self._resource("pods", version, None, [])
            # The singular is beyond the reference.
            case [version, "namespaces" | "namespace", namespace, "pods", *name] if (
                version in VERSIONS and len(name) < 2 and namespace
            ):
                return self._resource("pods", version, namespace, name)
        return None

    def _document(self, version: str) -> Callable[..., Awaitable[None]]:
        async def answer(_: Scope, headers: dict[bytes, str], send: Send) -> None:
            media = self._accepted(headers, plain=True)
            await self._documents.send(send, version, media, pretty=_wants_pretty(None, headers))

        return answer

    def _resource(
        self, kind: str, version: str, namespace: str | None, name: list[str]
    ) -> Callable[..., Awaitable[None]]:
        resource = self._resources[kind]

        async def answer(scope: Scope, headers: dict[bytes, str], send: Send) -> None:
            query = scope["query_string"]
            remembered = len(query) <= REMEMBERED_BYTES
            read = self._options if remembered else self._read_options
            options = read(query, None if name else kind)
            request = Request(
                resource,
                f"{GROUP}/{version}",
                namespace,
                options,
                self._accepted(headers),
                _wants_pretty(options.pretty, headers),
                gzip="gzip" in headers.get(b"accept-encoding", ""),
            )
            if name:
                await self._listing.send_one(send, request, name[0])
            else:
                await self._listing.send_list(send, request)

        return answer

    def _read_options(self, query: bytes, listed: str | None) -> Options:
        """Read a query; `listed` is the name of the resource when it is for a list."""
        text = query.decode("latin-1")
        return list_options(text, self._resources[listed].fields) if listed else get_options(text)

    def _accepted(self, headers: dict[bytes, str], *, plain: bool = False) -> MediaType:
        accept = headers.get(b"accept", "")
        read = self._media if len(accept) <= REMEMBERED_BYTES else _read_accept
        media = read(accept, plain)
        if media is None:
            raise not_acceptable()
        return media


def _read_accept(accept: str, plain: bool) -> MediaType | None:
    return negotiate(accept, allows_plain if plain else allows_meta)


_WANTED = frozenset((b"accept", b"accept-encoding", b"user-agent"))


def _headers(scope: Scope) -> dict[bytes, str]:
    """Give the headers that matter here; of several with one name, the first, as Go does."""
    found: dict[bytes, str] = {}
    pairs: Any = scope["headers"]
    for name, value in pairs:
        if name in _WANTED and name not in found:
            found[name] = value.decode("latin-1")
    return found


def _wants_pretty(asked: bool | None, headers: dict[bytes, str]) -> bool:
    if asked is not None:
        return asked
    agent = headers.get(b"user-agent", "")
    return agent.startswith(("curl", "Wget", "Mozilla/5.0"))
