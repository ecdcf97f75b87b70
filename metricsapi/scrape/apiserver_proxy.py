"""Kubelets asked through the API server's node proxy, where pods cannot reach them.

`/api/v1/nodes/NAME/proxy/...` needs `get` on nodes/proxy; the API server finds the node's address
and shows the kubelet its own certificate.
"""

from __future__ import annotations

import asyncio
import time
from urllib.parse import quote

import httpx

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.credentials import Credentials, TokenFile
from metricsapi.scrape.errors import Cause, ScrapeError
from metricsapi.scrape.http_response import Response
from metricsapi.scrape.targets import Target

CONNECTIONS = 16  # to the API server, apart from those of watches and reviews


class ProxyFetcher:
    """Asks the API server for what kubelets say. One pool for one host, so httpx serves well."""

    permission = "nodes/proxy"

    def __init__(self, settings: KubeletSettings, credentials: Credentials) -> None:
        self._max_answer = settings.max_response_bytes
        self._credentials = credentials
        self._free = asyncio.Semaphore(CONNECTIONS)
        name = credentials.server_name
        self._extensions = {"sni_hostname": name} if name else {}
        self._http = httpx.AsyncClient(
            base_url=credentials.server,
            verify=credentials.ssl_context,
            trust_env=False,
            headers={"User-Agent": "metricsapi", "Accept-Encoding": "identity"},
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
            timeout=None,  # noqa: S113  the deadline of the turn holds for all of it
        )
        self._closing: asyncio.Task[None] | None = None

    async def get(self, target: Target, path: str, accept: str, deadline: float) -> Response:
        """Give the answer, whatever its status. Raises ScrapeError."""
        url = f"/api/v1/nodes/{quote(target.node, safe='')}/proxy{path}"
        try:
            async with asyncio.timeout_at(deadline), self._free:
                answer = await self._ask(url, self._headers(accept))
        except TimeoutError as error:
            raise ScrapeError(
                Cause.TIMEOUT, f"{self._credentials.server}{url} did not answer in time"
            ) from error
        except httpx.TransportError as error:
            raise ScrapeError(
                Cause.API_SERVER,
                f"the API server {self._credentials.server} cannot be asked: "
                f"{error or type(error).__name__}",
            ) from error
        if answer.status == 401 and isinstance(self._credentials.token, TokenFile):
            self._credentials.token.forget()
        if answer.status in (502, 503, 504):
            said = answer.body[:300].decode("utf-8", "replace").strip()
            raise ScrapeError(
                Cause.API_SERVER,
                f"the API server cannot reach the kubelet of {target.node}: {said}",
            )
        return answer

    def drop(self, _node: str) -> None:
        """Do nothing: connections are not a node's."""

    def close(self) -> None:
        """Close every connection."""
        self._closing = asyncio.get_running_loop().create_task(self._http.aclose())

    def address(self, _node: str) -> str:
        """Give where nodes are read: at the API server."""
        return self._credentials.server.removeprefix("https://")

    async def _ask(self, url: str, headers: dict[str, str]) -> Response:
        times = {"requested": time.monotonic()}

        async def trace(event: str, _info: object) -> None:
            # httpx tells when it really writes, after it has found or made a connection.
            if event == "http11.send_request_headers.started":
                times["requested"] = time.monotonic()

        parts: list[bytes] = []
        size = 0
        extensions = {**self._extensions, "trace": trace}
        async with self._http.stream("GET", url, headers=headers, extensions=extensions) as answer:
            answered_at = time.monotonic()
            async for part in answer.aiter_raw():
                size += len(part)
                if size > self._max_answer:
                    raise ScrapeError(
                        Cause.TOO_LARGE, f"{url} answered more than {self._max_answer} bytes"
                    )
                parts.append(part)
        return Response(answer.status_code, b"".join(parts), times["requested"], answered_at)

    def _headers(self, accept: str) -> dict[str, str]:
        try:
            token = self._credentials.token()
        except OSError as error:
            raise ScrapeError(
                Cause.CREDENTIALS, f"cannot read the bearer token: {error}"
            ) from error
        return {"Accept": accept, **({"Authorization": f"Bearer {token}"} if token else {})}
