"""Connections to one API server over httpx, with our current identity.

This is the one place that knows httpx and what it raises: every failure leaves it as an error of
`kube.errors`. Nothing is retried here: callers that repeat a request
(informers, controllers, scrapes) have their own backoff.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import httpx

from metricsapi.kube.credentials import Credentials
from metricsapi.kube.errors import (
    CredentialsError,
    IdleTimeout,
    InvalidResponse,
    KubeError,
    Unreachable,
)

Params = Mapping[str, str | int]
CONNECT_TIMEOUT = 10.0  # seconds
MOST = 64  # connections
KEPT_ALIVE = 16


class _Pool:
    """Kept-alive connections of one TLS context, and the number of requests that use them."""

    def __init__(
        self, credentials: Credentials, user_agent: str, *, most: int, kept_alive: int
    ) -> None:
        self.context = credentials.tls.context()
        limits = httpx.Limits(max_connections=most, max_keepalive_connections=kept_alive)
        try:
            self.http = httpx.AsyncClient(
                base_url=credentials.server,
                headers=[
                    (name.encode(), text.encode())  # as Go sends them: UTF-8
                    for name, text in (("User-Agent", user_agent), *credentials.headers)
                ],
                trust_env=False,
                **_route(credentials.proxy, self.context, limits),
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise CredentialsError(f"{credentials.source}: {error}") from error
        self.in_flight = 0


def _route(proxy: str | None, context: ssl.SSLContext, limits: httpx.Limits) -> dict[str, Any]:
    """Return the options of an `httpx.AsyncClient` that connects through a proxy, or directly."""
    if proxy and proxy.startswith("socks"):
        from metricsapi.kube.socks import SocksTransport  # noqa: PLC0415  few clusters need it

        return {"transport": SocksTransport(proxy, context, limits)}
    return {"verify": context, "proxy": proxy, "limits": limits}


class Connections:
    """A pool of kept-alive connections, replaced when our certificate or an authority changes."""

    def __init__(
        self,
        credentials: Credentials,
        user_agent: str,
        *,
        most: int = MOST,
        kept_alive: int = KEPT_ALIVE,
    ) -> None:
        """Connect to nothing yet. Raises CredentialsError for a server or proxy that is no URL."""
        self.credentials = credentials
        self._new_pool = partial(_Pool, credentials, user_agent, most=most, kept_alive=kept_alive)
        self._pool = self._new_pool()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.http.aclose()

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        timeout: httpx.Timeout | float | None,
        content: bytes | None = None,
        params: Params | None = None,
        extensions: dict[str, Any] | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """Send a request with our token; return the response once its headers are there.

        Raises Unreachable when there is none or when reading its body fails, IdleTimeout when the
        body stops coming, InvalidResponse when it does not decompress, CredentialsError when there
        is no token to send. A 401 makes the next request use a new token, if there is one.
        """
        identity = self.credentials.identity
        with self._mapped_errors():
            await identity.refresh()
            token = identity.token()
            sent = {**headers, "Authorization": f"Bearer {token}"} if token else headers
            async with (
                self._current() as http,
                http.stream(
                    method,
                    path,
                    params=params,
                    content=content,
                    headers=sent,
                    timeout=timeout,
                    extensions=extensions,
                ) as response,
            ):
                if response.status_code == httpx.codes.UNAUTHORIZED:
                    identity.rejected()
                yield response

    @asynccontextmanager
    async def _current(self) -> AsyncIterator[httpx.AsyncClient]:
        """Return the pool of the current TLS context.

        After a change the old pool is closed once nothing uses it, so that watches go on.
        """
        if self.credentials.tls.context() is not self._pool.context:
            replaced = self._pool
            self._pool = self._new_pool()
            if not replaced.in_flight:
                await replaced.http.aclose()
        pool = self._pool
        pool.in_flight += 1
        try:
            yield pool.http
        finally:
            pool.in_flight -= 1
            if pool is not self._pool and not pool.in_flight:
                await pool.http.aclose()

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        """Map whatever httpx and the layers below it raise to errors of `kube.errors`.

        httpx maps most errors of the layers below, but not all: those of `ssl` after the handshake
        (a record with a bad MAC, an alert that a certificate is required) are OSErrors, those of
        names that cannot be encoded UnicodeErrors, which are ValueErrors.
        """
        server = self.credentials.server
        try:
            yield
        except KubeError:
            raise
        except httpx.ReadTimeout as error:
            raise IdleTimeout(f"{server}: nothing came in time (ReadTimeout)") from error
        except httpx.DecodingError as error:
            raise InvalidResponse(f"{server}: {error}") from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, ValueError) as error:
            raise Unreachable(f"{server}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Return the text of an error, or of the one below it: httpx has none for some."""
    text, below = str(error), error.__cause__ or error.__context__
    if text or below is None:
        return text or type(error).__name__
    return f"{type(error).__name__}: {_reason(below)}"
