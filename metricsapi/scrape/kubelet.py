"""One read of one node: a sample, or a failure that says why."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.credentials import Credentials
from metricsapi.scrape.apiserver_proxy import ProxyFetcher
from metricsapi.scrape.connection import Answer
from metricsapi.scrape.direct import DirectFetcher
from metricsapi.scrape.errors import Cause, Failure, ScrapeError, from_status
from metricsapi.scrape.resource_metrics import decode_resource_metrics
from metricsapi.scrape.summary import decode_summary
from metricsapi.scrape.targets import Target
from metricsapi.scrape.tls import KubeletTLS
from metricsapi.storage.types import NodeSample

SUMMARY = "/stats/summary?only_cpu_and_memory=true"
FULL_SUMMARY = "/stats/summary"
RESOURCE = "/metrics/resource"
RETRY_PAUSE = 0.25  # seconds before the second try of a turn
SUMMARY_AGAIN = 600.0  # seconds that a node without a Summary is read at the other endpoint

_WITHOUT_SUMMARY = frozenset({Cause.FORBIDDEN, Cause.NOT_FOUND})
# What trying again at once may mend. A certificate, a right or a name does not mend itself, and
# after a timeout there is no time left.
_TRIED_AGAIN = frozenset(
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

    right: str  # the permission that a 403 asks for, in place of nodes/stats and nodes/metrics

    async def get(self, target: Target, path: str, accept: str, deadline: float) -> Answer: ...
    def drop(self, node: str) -> None: ...
    def close(self) -> None: ...
    def address(self, node: str) -> str: ...


class Decode(Protocol):
    """Makes a sample of an answer's body; raises ValueError."""

    def __call__(
        self,
        node: str,
        body: bytes,
        *,
        requested_at: float,
        answered_at: float,
        wall_offset: float,
    ) -> NodeSample: ...


class KubeletClient:
    """Reads nodes. Deadlines are monotonic seconds."""

    def __init__(
        self,
        settings: KubeletSettings,
        fetcher: Fetcher,
        *,
        summary: Decode,
        resource: Decode,
        full_summary: bool = False,
    ) -> None:
        """Take the decoders of both endpoints.

        `full_summary` asks for the Summary with file systems, which costs the node more.
        """
        self._settings = settings
        self._summary_path = FULL_SUMMARY if full_summary else SUMMARY
        self._fetcher = fetcher
        self._summary = summary
        self._resource = resource
        self._without_summary: dict[str, float] = {}  # until when, monotonic seconds
        self._failed: set[str] = set()  # nodes whose last turn failed

    async def scrape(self, target: Target, deadline: float) -> NodeSample | Failure:
        """Read a node; a node that was well is tried twice, one that failed last turn once."""
        node = target.node
        try:
            try:
                sample = await self._read(target, deadline)
            except ScrapeError as error:
                late = time.monotonic() + RETRY_PAUSE >= deadline
                if late or node in self._failed or error.cause not in _TRIED_AGAIN:
                    raise
                await asyncio.sleep(RETRY_PAUSE)
                sample = await self._read(target, deadline)
        except ScrapeError as error:
            self._failed.add(node)
            return error.failure
        self._failed.discard(node)
        return sample

    def drop(self, node: str) -> None:
        """Forget a node that is gone or elsewhere, and close its connection."""
        self._fetcher.drop(node)
        self._without_summary.pop(node, None)
        self._failed.discard(node)

    def close(self) -> None:
        """Close every connection."""
        self._fetcher.close()

    def address(self, node: str) -> str:
        """Give host:port where the node is read; empty when it is not connected."""
        return self._fetcher.address(node)

    def endpoint(self, target: Target) -> str:
        """Tell what is read of the node: `summary` or `resource`."""
        resource = self._reads_resource(target, time.monotonic())
        return "resource" if resource else "summary"

    def _reads_resource(self, target: Target, now: float) -> bool:
        if target.path or self._settings.endpoint == "resource":
            return True
        return self._without_summary.get(target.node, now) > now

    async def _read(self, target: Target, deadline: float) -> NodeSample:
        if self._reads_resource(target, time.monotonic()):
            return await self._read_resource(target, deadline)
        try:
            path = self._summary_path
            answer = await self._get(target, path, "application/json", "stats", deadline)
        except ScrapeError as error:
            if self._settings.endpoint != "auto" or error.cause not in _WITHOUT_SUMMARY:
                raise
            try:
                sample = await self._read_resource(target, deadline)
            except ScrapeError as second:
                raise _neither(error, second) from second
            self._without_summary[target.node] = time.monotonic() + SUMMARY_AGAIN
            return sample
        self._without_summary.pop(target.node, None)
        return self._decoded(self._summary, target, answer)

    async def _read_resource(self, target: Target, deadline: float) -> NodeSample:
        path = target.path or RESOURCE
        answer = await self._get(target, path, "text/plain;version=0.0.4", "metrics", deadline)
        return self._decoded(self._resource, target, answer)

    async def _get(
        self, target: Target, path: str, accept: str, subresource: str, deadline: float
    ) -> Answer:
        answer = await self._fetcher.get(target, path, accept, deadline)
        if answer.status != 200:
            right = self._fetcher.right or f"nodes/{subresource}"
            where = self._where(target) + path.partition("?")[0]
            raise from_status(answer.status, answer.body, where, right)
        return answer

    def _where(self, target: Target) -> str:
        return self._fetcher.address(target.node) or f"node {target.node}"

    def _decoded(self, decode: Decode, target: Target, answer: Answer) -> NodeSample:
        try:
            return decode(
                target.node,
                answer.body,
                requested_at=answer.requested_at,
                answered_at=answer.answered_at,
                wall_offset=time.time() - time.monotonic(),
            )
        except ValueError as error:
            raise ScrapeError(Cause.DECODE, f"{self._where(target)}: {error}") from error


def _neither(summary: ScrapeError, resource: ScrapeError) -> ScrapeError:
    return ScrapeError(summary.cause, f"{summary}; and {resource}")


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
    return KubeletClient(
        settings,
        fetcher,
        summary=decode_summary,
        resource=decode_resource_metrics,
        full_summary=full_summary,
    )
