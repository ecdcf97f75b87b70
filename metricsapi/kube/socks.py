"""Connections through a SOCKS5 proxy, which resolves the names that it connects to, as in Go.

httpx's own SOCKS is not used: it waits without a limit for a proxy that does not respond, and
takes a response that arrives in two pieces for a broken one.
"""

from __future__ import annotations

import ssl
from urllib.parse import unquote, urlsplit

import httpx
from anyio import BrokenResourceError, EndOfStream
from httpx_socks import AsyncProxyTransport
from python_socks import ProxyError, ProxyType

SCHEMES = ("socks5", "socks5h")
DEFAULT_PORT = 1080


class SocksTransport(AsyncProxyTransport):
    """What an `httpx.AsyncClient` sends requests with; `url` is that of the proxy."""

    def __init__(self, url: str, context: ssl.SSLContext, limits: httpx.Limits) -> None:
        parts = urlsplit(url)
        super().__init__(
            proxy_type=ProxyType.SOCKS5,
            proxy_host=parts.hostname or "",
            proxy_port=parts.port or DEFAULT_PORT,
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            rdns=True,
            verify=context,
            trust_env=False,
            limits=limits,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return the response once its headers are there. Raises httpx.HTTPError.

        It also raises OSError or ValueError, as httpx itself does.
        """
        try:
            return await super().handle_async_request(request)
        except ProxyError as error:
            raise httpx.ProxyError(f"the SOCKS proxy refused: {error}") from error
        except (BrokenResourceError, EndOfStream) as error:  # during the handshake behind it
            raise httpx.ProxyError("the SOCKS proxy closed the connection") from error
