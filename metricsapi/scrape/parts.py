"""What the scraper pool works with: where nodes come from, who scrapes one, where samples go."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol

from metricsapi.kube.resources import Node
from metricsapi.scrape.errors import Failure
from metricsapi.scrape.targets import Target
from metricsapi.storage.types import NodeSample


class Scraper(Protocol):
    """Scrapes one node: `KubeletClient`, or a wrapper of it."""

    async def scrape(self, target: Target, deadline: float) -> NodeSample | Failure: ...
    def drop(self, node: str) -> None: ...
    def close(self) -> None: ...


class Store(Protocol):
    """Where samples go: `MetricsStore`."""

    def put(self, sample: NodeSample) -> None: ...
    def put_in_steps(self, sample: NodeSample) -> Generator[None, None, None]: ...
    def forget(self, node: str) -> None: ...


class Nodes(Protocol):
    """Where nodes come from: the nodes informer."""

    def subscribe(self, callback: Callable[[Node | None, Node | None], None]) -> None: ...


class Sharing(Protocol):
    """Shares scrapes with other replicas: `Replication`, or `ScrapesAlone`."""

    def may_scrape(self) -> bool: ...
    def publish(self, node: str, result: NodeSample | Failure, ended_at: float) -> None: ...
    def forget(self, node: str) -> None: ...


class ScrapesAlone:
    """There is one replica, or each scrapes for itself."""

    def may_scrape(self) -> bool:
        return True

    def publish(self, node: str, result: NodeSample | Failure, ended_at: float) -> None:
        """Nobody else needs the result."""

    def forget(self, node: str) -> None:
        """Nothing was kept."""
