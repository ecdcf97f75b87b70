"""One scrape of one node: a sample, or a failure with its cause."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from msgspec import Struct

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.credentials import Credentials
from metricsapi.scrape.apiserver_proxy import ProxyFetcher
from metricsapi.scrape.direct import DirectFetcher
from metricsapi.scrape.errors import Cause, Failure, IdleClosed, ScrapeError, from_status
from metricsapi.scrape.http_response import Response
from metricsapi.scrape.resource_metrics import decode_resource_metrics
from metricsapi.scrape.summary import decode_summary
from metricsapi.scrape.targets import Target
from metricsapi.scrape.tls import KubeletTLS
from metricsapi.storage.types import NodeSample

RETRY_PAUSE = 0.25  # seconds before the second try of a scrape
SUMMARY_AGAIN = 600.0  # seconds until a node without a Summary is asked for it again

_WITHOUT_SUMMARY = frozenset({Cause.FORBIDDEN, Cause.NOT_FOUND})
# What may be different a moment later. A certificate, a permission or a name does not mend itself,
# and after a timeout there is no time left.
_TRANSIENT = frozenset(
    {
        Cause.REFUSED,
        Cause.RESET,
        Cause.TRUNCATED,
        Cause.NOT_HTTP,
        Cause.UNAUTHORIZED,
        Cause.STATUS,
        Cause.DECODE,
        Cause.UNREACHABLE,
        Cause.API_SERVER,
    }
)


class Fetcher(Protocol):
    """Asks nodes: `DirectFetcher`, or `ProxyFetcher` through the API server."""

    permission: str  # that a 403 asks for, in place of nodes/stats and nodes/metrics

    async def get(self, target: Target, path: str, accept: str, deadline: float) -> Response: ...
    def drop(self, node: str) -> None: ...
    def close(self) -> None: ...
    def address(self, node: str) -> str: ...


class Decode(Protocol):
    """Makes a sample of a response's body; raises ValueError."""

    def __call__(
        self,
        node: str,
        body: bytes | bytearray,
        *,
        requested_at: float,
        answered_at: float,
        wall_offset: float,
    ) -> NodeSample: ...


class Endpoint(Struct, frozen=True):
    """One of a kubelet's endpoints with usage."""

    name: str  # in flags and on the status page
    path: str
    accept: str
    permission: str
    decode: Decode

    def at(self, path: str) -> Endpoint:
        """Give the same endpoint at another path."""
        return Endpoint(self.name, path, self.accept, self.permission, self.decode)


class KubeletClient:
    """Scrapes nodes. Deadlines are monotonic seconds."""

    def __init__(
        self,
        settings: KubeletSettings,
        fetcher: Fetcher,
        *,
        summary: Decode = decode_summary,
        resource: Decode = decode_resource_metrics,
        full_summary: bool = False,
    ) -> None:
        """Take the decoders of both endpoints.

        `full_summary` asks for the Summary with file systems, which costs the node more.
        """
        self._auto = settings.endpoint == "auto"
        self._only_resource = settings.endpoint == "resource"
        self._fetcher = fetcher
        path = "/stats/summary" + ("" if full_summary else "?only_cpu_and_memory=true")
        self._summary = Endpoint("summary", path, "application/json", "nodes/stats", summary)
        self._resource = Endpoint(
            "resource",
            "/metrics/resource",
            "text/plain;version=0.0.4",
            "nodes/metrics",
            resource,
        )
        self._without_summary: dict[str, float] = {}  # until when, in monotonic seconds
        self._failed: set[str] = set()  # nodes whose last scrape failed

    async def scrape(self, target: Target, deadline: float) -> NodeSample | Failure:
        """Scrape a node. This is the only place that tries again, once for each of two reasons.

        At once, if the kept connection was closed while it was idle; after a pause, if the cause
        may be gone by then, unless the last scrape of the node failed as well.
        """
        may_reconnect, may_repeat = True, target.node not in self._failed
        while True:
            try:
                sample = await self._scrape_once(target, deadline)
            except ScrapeError as error:
                in_time = time.monotonic() + RETRY_PAUSE < deadline
                if isinstance(error, IdleClosed) and may_reconnect:
                    may_reconnect = False
                elif error.cause in _TRANSIENT and may_repeat and in_time:
                    may_repeat = False
                    await asyncio.sleep(RETRY_PAUSE)
                else:
                    self._failed.add(target.node)
                    return error.failure
            else:
                self._failed.discard(target.node)
                return sample

    def drop(self, node: str) -> None:
        """Forget a node that is gone or has moved, and close its connection."""
        self._fetcher.drop(node)
        self._without_summary.pop(node, None)
        self._failed.discard(node)

    def close(self) -> None:
        """Close every connection."""
        self._fetcher.close()

    def address(self, node: str) -> str:
        """Give host:port where the node is scraped; empty when it is not connected."""
        return self._fetcher.address(node)

    def endpoint(self, target: Target) -> str:
        """Give the endpoint at which the node is scraped: `summary` or `resource`."""
        return self._endpoint(target, time.monotonic()).name

    def _endpoint(self, target: Target, now: float) -> Endpoint:
        if target.path:
            return self._resource.at(target.path)
        without_summary = self._without_summary.get(target.node, now) > now
        return self._resource if self._only_resource or without_summary else self._summary

    async def _scrape_once(self, target: Target, deadline: float) -> NodeSample:
        endpoint = self._endpoint(target, time.monotonic())
        try:
            sample = await self._read(endpoint, target, deadline)
        except ScrapeError as error:
            other = self._auto and endpoint is self._summary and error.cause in _WITHOUT_SUMMARY
            if not other:
                raise
            return await self._read_other(target, error, deadline)
        if endpoint is self._summary:
            self._without_summary.pop(target.node, None)
        return sample

    async def _read_other(self, target: Target, error: ScrapeError, deadline: float) -> NodeSample:
        """Read the other endpoint of a node that has no Summary for us, for some time."""
        try:
            sample = await self._read(self._resource, target, deadline)
        except ScrapeError as second:
            raise ScrapeError(error.cause, f"{error}; and {second}") from second
        self._without_summary[target.node] = time.monotonic() + SUMMARY_AGAIN
        return sample

    async def _read(self, endpoint: Endpoint, target: Target, deadline: float) -> NodeSample:
        response = await self._fetcher.get(target, endpoint.path, endpoint.accept, deadline)
        where = self._fetcher.address(target.node) or f"node {target.node}"
        if response.status != 200:
            permission = self._fetcher.permission or endpoint.permission
            path = endpoint.path.partition("?")[0]
            raise from_status(response.status, response.body, where + path, permission)
        try:
            return endpoint.decode(
                target.node,
                response.body,
                requested_at=response.requested_at,
                answered_at=response.answered_at,
                wall_offset=time.time() - time.monotonic(),
            )
        except ValueError as error:
            raise ScrapeError(Cause.DECODE, f"{where}: {error}") from error


def kubelet_client(
    settings: KubeletSettings, credentials: Credentials, *, full_summary: bool = False
) -> KubeletClient:
    """Build the client that the settings ask for; `full_summary` as in KubeletClient.

    Raises OSError or ValueError (ssl.SSLError is both) when a certificate cannot be read.
    """
    fetcher: Fetcher
    if settings.transport == "apiserver-proxy":
        fetcher = ProxyFetcher(settings, credentials)
    else:
        authority = credentials.authority_file or credentials.authority
        tls = None if settings.plain_http else KubeletTLS(settings, authority)
        fetcher = DirectFetcher(settings, tls, credentials.token)
    return KubeletClient(settings, fetcher, full_summary=full_summary)
