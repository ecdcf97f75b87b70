"""One scrape of one kubelet: an answer decoded, or a failure that names its cause."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable

import httpx
from msgspec import Struct

from metricsapi.collect.summary import DecodeError, decode_summary
from metricsapi.collect.targets import Target
from metricsapi.samples import NodeSample

PATH = "/stats/summary?only_cpu_and_memory=true"


class Failure(Struct, frozen=True):
    """Why a scrape gave nothing: a short `cause` to count by, a `message` to read."""

    cause: str
    message: str


class KubeletClient:
    """All kubelets of a cluster, one kept-alive connection pool per node."""

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext,
        token: Callable[[], str | None],
        timeout: float,
    ) -> None:
        self._ssl_context = ssl_context
        self._token = token
        self._timeout = timeout
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def scrape(self, target: Target) -> NodeSample | Failure:
        """Ask one kubelet once."""
        if not target.addresses:
            return Failure("no_address", "the node has no address of a preferred type")
        host = target.addresses[0]
        url = f"https://{f'[{host}]' if ':' in host else host}:{target.port}{PATH}"
        client = self._client(target.node)
        token = self._token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        requested_at = time.monotonic()
        try:
            async with client.stream("GET", url, headers=headers) as answer:
                answered_at = time.monotonic()
                body = await answer.aread()
        except httpx.TimeoutException:
            return Failure("timeout", f"{url}: no answer within {self._timeout:g} s")
        except httpx.TransportError as error:
            return Failure("unreachable", f"{url}: {error or type(error).__name__}")
        if answer.status_code != 200:
            text = body[:200].decode("utf-8", "replace")
            return Failure(f"http_{answer.status_code}", f"{url}: {answer.status_code} {text}")
        try:
            return decode_summary(
                target.node,
                body,
                requested_at=requested_at,
                answered_at=answered_at,
                wall_offset=time.time() - time.monotonic(),
            )
        except DecodeError as error:
            return Failure("payload", f"{url}: {error}")

    async def forget(self, node: str) -> None:
        """Close the connections to a node that is gone."""
        if client := self._clients.pop(node, None):
            await client.aclose()

    async def aclose(self) -> None:
        for node in list(self._clients):
            await self.forget(node)

    def _client(self, node: str) -> httpx.AsyncClient:
        client = self._clients.get(node)
        if client is None:
            client = self._clients[node] = httpx.AsyncClient(
                verify=self._ssl_context, trust_env=False, timeout=self._timeout
            )
        return client
