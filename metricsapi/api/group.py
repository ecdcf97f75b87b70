"""The group metrics.k8s.io as an ASGI app: every path below `/apis/metrics.k8s.io`.

It is the hot path (each HPA sends a query every period), so it uses ASGI directly, and caches the
meaning of queries and `Accept` headers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache

from starlette.types import Receive, Scope, Send

from metricsapi.api.asgi import CACHEABLE, QueryString, accept_of, header_of, query_of, user_of
from metricsapi.api.discovery import Documents
from metricsapi.api.list_options import Options, get_options, list_options
from metricsapi.api.listing import Listing
from metricsapi.api.render.frame import Frame
from metricsapi.api.render.negotiation import (
    MediaType,
    allows_meta,
    allows_plain,
    negotiate,
    pretty_option,
    wants_pretty,
)
from metricsapi.api.representations import Request
from metricsapi.api.resources import GROUP, VERSIONS, Resource
from metricsapi.api.status import (
    StatusError,
    no_such_method,
    no_such_resource,
    not_acceptable,
    send_status,
)
from metricsapi.api.streaming import send_framed

ROOT = f"/apis/{GROUP}"
CACHED = 1024  # distinct queries, and Accept headers, whose meaning is cached


class GroupAPI:
    """Serves discovery, lists and objects of the group."""

    def __init__(self, resources: list[Resource], documents: Documents, listing: Listing) -> None:
        self._resources = {resource.name: resource for resource in resources}
        self._documents = documents
        self._listing = listing
        self._options = lru_cache(CACHED)(self._read_options)
        self._media = lru_cache(CACHED)(_read_accept)

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        try:
            await self._serve(scope, send)
        except StatusError as error:
            await send_status(scope, send, error)

    async def _serve(self, scope: Scope, send: Send) -> None:
        parts = scope["path"][len(ROOT) :].strip("/").split("/")
        handler = self._route(parts)
        if handler is None:
            raise no_such_resource()
        if scope["method"] != "GET":
            raise no_such_method()
        await handler(scope, send)

    def _route(self, parts: list[str]) -> Callable[[Scope, Send], Awaitable[None]] | None:
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
        async def handler(scope: Scope, send: Send) -> None:
            media = self._accepted(scope, plain=True)
            pretty = wants_pretty(pretty_option(query_of(scope)), header_of(scope, b"user-agent"))
            body = self._documents.body(version, media, pretty=pretty)
            await send_framed(send, media.type, Frame(body, b"", b""))

        return handler

    def _resource(
        self, kind: str, version: str, namespace: str | None, name: list[str]
    ) -> Callable[..., Awaitable[None]]:
        resource = self._resources[kind]

        async def handler(scope: Scope, send: Send) -> None:
            query = query_of(scope)
            read = self._options if query.cacheable else self._read_options
            options = read(query, None if name else kind)
            request = Request(
                resource,
                f"{GROUP}/{version}",
                namespace,
                options,
                user_of(scope),
                self._accepted(scope),
                wants_pretty(options.pretty, header_of(scope, b"user-agent")),
                gzip="gzip" in header_of(scope, b"accept-encoding"),
            )
            if name:
                await self._listing.send_one(send, request, name[0])
            else:
                await self._listing.send_list(send, request)

        return handler

    def _read_options(self, query: QueryString, listed: str | None) -> Options:
        """Read a query; `listed` is the name of the resource when it is for a list."""
        return list_options(query, self._resources[listed].fields) if listed else get_options(query)

    def _accepted(self, scope: Scope, *, plain: bool = False) -> MediaType:
        accept = accept_of(scope)
        read = self._media if len(accept) <= CACHEABLE else _read_accept
        media = read(accept, plain)
        if media is None:
            raise not_acceptable()
        return media


def _read_accept(accept: str, plain: bool) -> MediaType | None:
    return negotiate(accept, allows_plain if plain else allows_meta)
