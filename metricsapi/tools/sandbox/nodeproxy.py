"""`/api/v1/nodes/NAME/proxy/...`: requests forwarded to a node's kubelet.

The API server shows the kubelet a credential of its own, so the kubelet authorizes it, and
not the user, who needs `nodes/proxy` at the API server.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from metricsapi.tools.sandbox.forwarding import (
    canonical,
    in_go_order,
    passed_on,
    streamed,
    target_of,
)
from metricsapi.tools.sandbox.pki import Certificate, load_pair
from metricsapi.tools.sandbox.record import Object
from metricsapi.tools.sandbox.responses import not_found, status
from metricsapi.tools.sandbox.state import Cluster

USER = "kube-apiserver-kubelet-client"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=90.0)


class NodeProxy:
    """Reaches kubelets by their nodes' addresses; `certificate` and `token` are shown to them."""

    def __init__(
        self, cluster: Cluster, certificate: Callable[[], Certificate], token: str
    ) -> None:
        self._cluster = cluster
        self._certificate = certificate
        self._token = token
        self._client: httpx.AsyncClient | None = None

    def routes(self) -> list[Route]:
        where = "/api/v1/nodes/{name}/proxy"
        return [
            Route(path, self._pass_on, methods=_METHODS) for path in (where, where + "/{rest:path}")
        ]

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _pass_on(self, request: Request) -> Response:
        name, port = _name_and_port(request.path_params["name"])
        node = self._cluster.get("nodes", name)
        if node is None:
            return not_found("nodes", name)
        where = _kubelet(node, port)
        if not where:
            return status(503, f"no preferred addresses found for node {name}")
        prefix = f"/api/v1/nodes/{request.path_params['name']}/proxy"
        target = target_of(request).removeprefix(prefix) or "/"
        headers = [(canonical(key), value) for key, value in passed_on(request.headers)]
        headers += [("Authorization", f"Bearer {self._token}"), *_forwarded(request)]
        client = self._pool()
        outgoing = client.build_request(
            request.method,
            f"https://{where}{target}",
            headers=in_go_order(where, headers),
            content=await request.body() or None,
            timeout=httpx.Timeout(60.0, connect=30.0),
        )
        try:
            response = await client.send(outgoing, stream=True)
        except (httpx.TransportError, ssl.SSLError) as error:
            reason = error or type(error).__name__
            return status(503, f"error trying to reach service: {reason}")
        return streamed(request, response)

    def _pool(self) -> httpx.AsyncClient:
        """Return the pool for all kubelets, whose certificates kube-apiserver does not verify."""
        if self._client is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            load_pair(context, self._certificate())
            self._client = httpx.AsyncClient(verify=context, trust_env=False, limits=_LIMITS)
            self._client.headers.clear()
        return self._client


def _name_and_port(text: str) -> tuple[str, int | None]:
    """Read `NAME`, `NAME:PORT` or `https:NAME:PORT`."""
    name, _, port = text.removeprefix("https:").partition(":")
    return name, int(port) if port.isdecimal() else None


def _kubelet(node: Object, port: int | None) -> str:
    """Return where a node's kubelet listens, as host:port; empty when its node does not say."""
    node_status = node.get("status", {})
    endpoint = node_status.get("daemonEndpoints", {}).get("kubeletEndpoint", {})
    by_type = {address["type"]: address["address"] for address in node_status.get("addresses", ())}
    address = by_type.get("InternalIP") or by_type.get("ExternalIP")
    return f"{address}:{port or endpoint.get('Port') or 10250}" if address else ""


def _forwarded(request: Request) -> list[tuple[str, str]]:
    return [("X-Forwarded-For", request.client[0])] if request.client else []
