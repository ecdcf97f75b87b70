"""Scrapes kubelets through the API server's node proxy, where pods cannot reach them.

`/api/v1/nodes/NAME/proxy/...` needs `get` on nodes/proxy; the API server finds the node's address
and shows the kubelet its own certificate.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import quote

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.connections import Connections
from metricsapi.kube.credentials import Credentials
from metricsapi.kube.errors import CredentialsError, KubeError
from metricsapi.kube.files import FollowedFiles
from metricsapi.kube.retry_after import retry_after_seconds
from metricsapi.scrape.errors import Cause, ScrapeError
from metricsapi.scrape.http_response import Response
from metricsapi.scrape.large_responses import LARGE, LargeResponses, Place
from metricsapi.scrape.pauses import Pauses
from metricsapi.scrape.response_body import Body
from metricsapi.scrape.targets import Target

UNREACHED = (502, 503, 504)  # what the API server responds with where it reaches no kubelet


class ProxyFetcher:
    """Sends requests for kubelets to the API server.

    At most `concurrency + failed_concurrency` requests are in flight. After a 429 none is begun
    until its Retry-After has passed: see `Pauses`. One httpx pool is fast enough for one host.
    """

    permission = "nodes/proxy"

    def __init__(self, settings: KubeletSettings, credentials: Credentials) -> None:
        self._max_body = settings.max_response_bytes
        self._server = credentials.server
        self._files = credentials.files
        connections = settings.concurrency + settings.failed_concurrency
        self._free = asyncio.Semaphore(connections)
        self._large = LargeResponses()
        self._pauses = Pauses()
        self._connections = Connections(
            credentials, "metricsapi", most=connections, kept_alive=connections
        )
        self._closing: asyncio.Task[None] | None = None

    async def get(self, target: Target, path: str, accept: str, deadline: float) -> Response:
        """Return the response, whatever its status. Raises ScrapeError."""
        url = f"/api/v1/nodes/{quote(target.node, safe='')}/proxy{path}"
        try:
            async with asyncio.timeout_at(deadline), self._free:
                await self._wait(target.node, url, deadline)
                response = await self._request(url, accept)
        except TimeoutError as error:
            raise ScrapeError(
                Cause.TIMEOUT, f"{self._server}{url} did not answer in time"
            ) from error
        except CredentialsError as error:
            raise ScrapeError(Cause.CREDENTIALS, str(error)) from error
        except KubeError as error:
            raise ScrapeError(
                Cause.API_SERVER, f"the request to the API server failed: {error}"
            ) from error
        if response.status == 429:
            retry_after = retry_after_seconds(response.retry_after, time.time())
            self._pauses.limited(target.node, retry_after, time.monotonic())
        if response.status in UNREACHED:
            text = response.body[:300].decode("utf-8", "replace").strip()
            response.release()
            raise ScrapeError(
                Cause.API_SERVER,
                f"the API server cannot reach the kubelet of {target.node}: {text}",
            )
        return response

    @property
    def files(self) -> list[FollowedFiles[Any]]:
        """None but those of the credentials."""
        return self._files

    def drop(self, node: str) -> None:
        """Forget a node that is gone; connections are not a node's."""
        self._pauses.forget(node)

    def close(self) -> None:
        """Close every connection."""
        self._closing = asyncio.get_running_loop().create_task(self._connections.close())

    def address(self, _node: str) -> str:
        """Return where nodes are scraped: at the API server."""
        return self._server.removeprefix("https://")

    async def _wait(self, node: str, url: str, deadline: float) -> None:
        """Wait until the API server takes requests again."""
        while (pause := (until := self._pauses.until(node)) - time.monotonic()) > 0:
            if until >= deadline:
                raise ScrapeError(
                    Cause.TOO_MANY_REQUESTS,
                    f"{self._server}{url} was not requested: the API server takes requests "
                    f"again in {pause:.1f} s",
                )
            await asyncio.sleep(pause)

    async def _request(self, url: str, accept: str) -> Response:
        requested_at = time.monotonic()

        async def trace(event: str, _info: object) -> None:
            # When httpx really writes, after it has taken or made a connection.
            nonlocal requested_at
            if event == "http11.send_request_headers.started":
                requested_at = time.monotonic()

        async with self._connections.stream(
            "GET",
            url,
            headers={"Accept": accept, "Accept-Encoding": "identity"},
            timeout=None,  # the deadline of the scrape holds for all of it
            extensions={"trace": trace},
        ) as response:
            answered_at = time.monotonic()
            where = f"{self._server}{url}"
            body = Body(where, self._max_body, response.headers.get("content-encoding", ""))
            ready = asyncio.Event()
            place = Place(self._large, ready.set)
            try:
                async for part in response.aiter_raw():
                    body.add(part)
                    if len(body.data) > LARGE and not ready.is_set():
                        place.enter()
                        await ready.wait()
            except BaseException:
                place.leave()
                raise
        return Response(
            response.status_code,
            body.data,
            requested_at,
            answered_at,
            response.headers.get("location", ""),
            response.headers.get("retry-after", ""),
            place.leave,
            cut_possible=not body.complete,
        )
