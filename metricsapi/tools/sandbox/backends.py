"""The servers behind APIServices: where they are, and connections to them as the front proxy."""

from __future__ import annotations

import base64
import ssl
from typing import Any

import httpx

from metricsapi.tools.sandbox.authorities import Authorities
from metricsapi.tools.sandbox.forwarding import Headers
from metricsapi.tools.sandbox.pki import Authority, Certificate, load_pair
from metricsapi.tools.sandbox.record import Object

Address = tuple[str, int]
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=25, keepalive_expiry=90.0)
_NO_KEEP_ALIVE = httpx.Limits(max_keepalive_connections=0)


class NoEndpoints(LookupError):
    """The Service has no endpoint that is ready."""


class Backends:
    """Endpoints of Services, used round robin; tests and the sandbox change `endpoints`."""

    def __init__(self, authorities: Authorities) -> None:
        self.endpoints: dict[tuple[str, str], list[Address]] = {}
        self._authorities = authorities
        self._issued: tuple[Authority, Certificate] | None = None
        self._probing: tuple[Certificate, ssl.SSLContext] | None = None
        self._clients: dict[tuple[Any, ...], httpx.AsyncClient] = {}
        self._requests = 0

    def endpoint(self, item: Object) -> str:
        """Choose the next endpoint, as host:port. Raises NoEndpoints."""
        service = item["spec"]["service"]
        namespace, name = service["namespace"], service["name"]
        addresses = self.endpoints.get((namespace, name))
        if not addresses:
            raise NoEndpoints(f'endpoints for service/{name} in "{namespace}" have no addresses')
        self._requests += 1
        host, port = addresses[self._requests % len(addresses)]
        return f"{host}:{port}"

    async def send(
        self, item: Object, method: str, url: str, headers: Headers, content: bytes | None = None
    ) -> httpx.Response:
        """Send a request to a server that is verified as the APIService says; its body is unread.

        Raises httpx.TransportError or ssl.SSLError.
        """
        spec = item["spec"]
        service = spec["service"]
        name = f"{service['name']}.{service['namespace']}.svc"
        key = (spec.get("caBundle"), bool(spec.get("insecureSkipTLSVerify")), name)
        client = self._client(*key)
        connected = False

        async def trace(event: str, _: Any) -> None:
            nonlocal connected
            connected |= event.startswith("connection.connect_tcp")

        def request() -> httpx.Request:
            return client.build_request(
                method,
                url,
                headers=headers,
                content=content,
                timeout=httpx.Timeout(60.0, connect=30.0),
                extensions={"sni_hostname": name, "trace": trace},
            )

        try:
            return await client.send(request(), stream=True)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            if connected or content is not None or method not in ("GET", "HEAD"):
                raise
            # A kept connection was closed meanwhile: Go's client asks again, so do we.
            return await client.send(request(), stream=True)

    async def probe(self, url: str, headers: Headers) -> int:
        """Send a request over a new connection, without verification; return the status.

        Raises httpx.TransportError or ssl.SSLError.
        """
        issued = self._certificate()
        if self._probing is None or self._probing[0] is not issued:
            self._probing = issued, self._context(None, insecure=True)
        context = self._probing[1]
        async with httpx.AsyncClient(
            verify=context, trust_env=False, limits=_NO_KEEP_ALIVE
        ) as client:
            client.headers.clear()
            return (await client.get(url, headers=headers, timeout=5.0)).status_code

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    def _client(self, bundle: str | None, insecure: bool, name: str) -> httpx.AsyncClient:
        """Return the pool for a name and a trust: a connection is never shared between two."""
        key = (bundle, insecure, name, self._authorities.front_proxies[0].pem)
        client = self._clients.get(key)
        if client is None:
            context = self._context(bundle, insecure=insecure)
            client = httpx.AsyncClient(verify=context, trust_env=False, limits=_LIMITS)
            client.headers.clear()
            self._clients[key] = client
        return client

    def _context(self, bundle: str | None, *, insecure: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif bundle:
            context.load_verify_locations(cadata=base64.b64decode(bundle).decode())
        else:
            context.load_default_certs()
        load_pair(context, self._certificate())
        return context

    def _certificate(self) -> Certificate:
        """Return the certificate of the present front-proxy authority."""
        authority = self._authorities.front_proxies[0]
        if self._issued is None or self._issued[0] is not authority:
            self._issued = authority, authority.issue("front-proxy-client")
        return self._issued[1]
