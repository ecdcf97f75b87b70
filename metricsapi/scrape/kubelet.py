"""One scrape of one node: a sample, or a failure with its cause."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.credentials import Credentials
from metricsapi.kube.files import FollowedFiles
from metricsapi.scrape.apiserver_proxy import ProxyFetcher
from metricsapi.scrape.direct import DirectFetcher
from metricsapi.scrape.endpoint_reader import EndpointReader, Fetcher
from metricsapi.scrape.endpoints import (
    RESOURCE_METRICS,
    SHORT_SUMMARY,
    SUMMARY,
    Decode,
    Endpoint,
    Endpoints,
)
from metricsapi.scrape.errors import Cause, Failure, IdleClosed, ScrapeError
from metricsapi.scrape.resource_metrics import resource_steps
from metricsapi.scrape.slices import Slices
from metricsapi.scrape.summary import summary_steps
from metricsapi.scrape.targets import Target
from metricsapi.scrape.tls import kubelet_tls
from metricsapi.scrape.usage_check import lacks_counters
from metricsapi.storage.types import NodeSample

RETRY_PAUSE = 0.25  # seconds before the second try of a scrape

# What may be different a moment later. A certificate, a permission or a name does not mend itself,
# and after a timeout no time remains.
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

_NO_SUMMARY = frozenset({Cause.NOT_FOUND, Cause.STATUS})


class KubeletClient:
    """Scrapes nodes. Deadlines are monotonic seconds."""

    def __init__(
        self,
        settings: KubeletSettings,
        fetcher: Fetcher,
        *,
        slices: Slices | None = None,
        summary: Decode | None = None,
        resource: Decode = resource_steps,
        full_summary: bool = False,
        may_repeat: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take the decoders of both endpoints, where they are not the usual ones.

        `full_summary` asks for the Summary with file systems, which costs the node more.
        `may_repeat` returns whether this replica still scrapes when it is to try again.
        """
        self._fetcher = fetcher
        self._may_repeat = may_repeat
        self._reader = EndpointReader(fetcher, slices or Slices())
        self._endpoints = Endpoints(
            settings.endpoint,
            Endpoint(
                "summary",
                SUMMARY if full_summary else SHORT_SUMMARY,
                "application/json",
                "nodes/stats",
                summary or partial(summary_steps, disks=full_summary),
            ),
            Endpoint(
                "resource",
                RESOURCE_METRICS,
                "text/plain;version=0.0.4",
                "nodes/metrics",
                resource,
            ),
        )
        self._failed: set[str] = set()  # nodes whose last scrape failed

    async def scrape(self, target: Target, deadline: float) -> NodeSample | Failure:
        """Scrape a node. This is the only place of retries: one for each of two reasons.

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
                    if not self._may_repeat():
                        return error.failure
                else:
                    self._failed.add(target.node)
                    return error.failure
            else:
                self._failed.discard(target.node)
                return sample

    @property
    def files(self) -> list[FollowedFiles[Any]]:
        """The files of certificates, authorities and tokens that are read when they are used."""
        return self._fetcher.files

    def drop(self, node: str) -> None:
        """Forget a node that is gone or has moved, and close its connection."""
        self._fetcher.drop(node)
        self._endpoints.forget(node)
        self._failed.discard(node)

    def close(self) -> None:
        """Close every connection."""
        self._fetcher.close()

    def address(self, node: str) -> str:
        """Return host:port where the node is scraped; empty when it is not connected."""
        return self._fetcher.address(node)

    def endpoint(self, target: Target) -> str:
        """Return the endpoint at which the node is scraped: `summary` or `resource`."""
        return self._endpoints.current(target, time.monotonic()).name

    def endpoint_reason(self, target: Target) -> str:
        """Return why `auto` does not scrape the node's Summary; empty if it does."""
        return self._endpoints.reason(target)

    async def _scrape_once(self, target: Target, deadline: float) -> NodeSample:
        endpoint = self._endpoints.current(target, time.monotonic())
        other = self._endpoints.other(endpoint)
        try:
            sample = await self._reader.read(endpoint, target, deadline)
        except ScrapeError as error:
            if not error.other_endpoint:
                raise
            if other is None:
                self._endpoints.prefer_summary(target)
                raise
            return await self._read_instead(other, target, error, deadline)
        shortcoming = _shortcoming(sample)
        if other is not None:
            if shortcoming:
                return await self._read_better(other, target, sample, shortcoming, deadline)
            self._endpoints.prefer_summary(target)
        return sample

    async def _read_instead(
        self, other: Endpoint, target: Target, error: ScrapeError, deadline: float
    ) -> NodeSample:
        """Read the other endpoint of a node whose Summary cannot be read."""
        try:
            sample = await self._reader.read(other, target, deadline)
        except ScrapeError as second:
            # Where there is no Summary, what is wrong is what is wrong with the other endpoint.
            cause = second.cause if error.cause in _NO_SUMMARY else error.cause
            raise ScrapeError(cause, f"{error}; and {second}") from second
        refused = error.cause is not Cause.DECODE  # else the Summary may be good again any time
        if refused or not _shortcoming(sample):
            self._endpoints.prefer_resource(target, str(error), time.monotonic())
        return sample

    async def _read_better(
        self, other: Endpoint, target: Target, sample: NodeSample, reason: str, deadline: float
    ) -> NodeSample:
        """Return what the other endpoint has if that is better, else the sample at hand."""
        if not self._endpoints.may_compare(target, time.monotonic()):
            return sample
        try:
            second = await self._reader.read(other, target, deadline)
        except ScrapeError:
            return sample
        if _shortcoming(second):
            return sample
        self._endpoints.prefer_resource(
            target, f"its Summary is no good: {reason}", time.monotonic()
        )
        return second


def _shortcoming(sample: NodeSample) -> str:
    """Return why another endpoint may be better; empty if this sample is good."""
    return sample.unusable or ("it has no CPU counters" if lacks_counters(sample) else "")


def kubelet_client(
    settings: KubeletSettings,
    credentials: Credentials,
    *,
    slices: Slices | None = None,
    full_summary: bool = False,
    may_repeat: Callable[[], bool] = lambda: True,
) -> KubeletClient:
    """Build the client that the settings ask for; the other arguments are those of KubeletClient.

    Raises OSError (ssl.SSLError is one) or ValueError when a certificate cannot be used.
    """
    fetcher: Fetcher
    if settings.transport == "apiserver-proxy":
        fetcher = ProxyFetcher(settings, credentials)
    else:
        tls = kubelet_tls(settings, credentials)
        fetcher = DirectFetcher(settings, tls, credentials.identity)
    return KubeletClient(
        settings, fetcher, slices=slices, full_summary=full_summary, may_repeat=may_repeat
    )
