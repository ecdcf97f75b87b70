"""One request to one endpoint of one node: a sample, or a ScrapeError with its cause."""

from __future__ import annotations

import time
from typing import Any, Protocol

from metricsapi.kube.files import FollowedFiles
from metricsapi.scrape.decoding import DecodeError, Exchange
from metricsapi.scrape.endpoints import Endpoint
from metricsapi.scrape.errors import Cause, ScrapeError, broken_off, from_status
from metricsapi.scrape.http_response import Response
from metricsapi.scrape.slices import Slices
from metricsapi.scrape.targets import Target
from metricsapi.scrape.usage_check import missing_usage
from metricsapi.storage.limits import limits_of
from metricsapi.storage.types import NodeSample


class Fetcher(Protocol):
    """Sends requests to nodes: `DirectFetcher`, or `ProxyFetcher` through the API server."""

    permission: str  # that a 403 is about, in place of nodes/stats and nodes/metrics

    async def get(self, target: Target, path: str, accept: str, deadline: float) -> Response: ...
    @property
    def files(self) -> list[FollowedFiles[Any]]: ...
    def drop(self, node: str) -> None: ...
    def close(self) -> None: ...
    def address(self, node: str) -> str: ...


class EndpointReader:
    """Reads endpoints of nodes by `fetcher`, and decodes what they respond in `slices`."""

    def __init__(self, fetcher: Fetcher, slices: Slices) -> None:
        self._fetcher = fetcher
        self._slices = slices

    async def read(self, endpoint: Endpoint, target: Target, deadline: float) -> NodeSample:
        """Return the sample of a node. `deadline` is in monotonic seconds. Raises ScrapeError."""
        response = await self._fetcher.get(target, endpoint.path, endpoint.accept, deadline)
        try:
            return await self._decode(endpoint, target, response)
        finally:
            response.release()

    async def _decode(self, endpoint: Endpoint, target: Target, response: Response) -> NodeSample:
        where = self._fetcher.address(target.node) or f"node {target.node}"
        if response.status != 200:
            permission = self._fetcher.permission or endpoint.permission
            path = endpoint.path.partition("?")[0]
            raise from_status(
                response.status, response.body, where + path, permission, response.location
            )
        exchange = Exchange(
            target.node,
            response.requested_at,
            response.answered_at,
            wall_offset=time.time() - time.monotonic(),
            max_pods=target.max_pods,
        )
        if response.cut_possible and endpoint.name == "resource":
            raise broken_off(where)  # lines that are missing leave no trace
        try:
            sample = await self._slices.run(endpoint.decode(response.body, exchange))
        except DecodeError as error:
            if response.cut_possible:
                raise broken_off(where) from error
            other = error.cause is Cause.DECODE
            message = f"{where}: {error}"
            raise ScrapeError(error.cause, message, other_endpoint=other) from error
        limits = limits_of(target.capacity, sample.stats, swap=False)
        missing = missing_usage(sample, limits)
        sample.unusable = f"{where}: {missing}" if missing else ""
        return sample
