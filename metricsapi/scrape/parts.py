"""What the scraper pool works with: where samples go, when nodes are scraped, and by whom."""

from __future__ import annotations

from collections.abc import Generator
from enum import StrEnum
from typing import NamedTuple, Protocol

from metricsapi.scrape.errors import Failure
from metricsapi.storage.types import NodeSample


class Store(Protocol):
    """Where samples go: `MetricsStore`, with prefetch in a wrapper that notes new pods."""

    def put_in_steps(self, sample: NodeSample) -> Generator[None, None, None]: ...
    def forget(self, node: str) -> None: ...


class Reason(StrEnum):
    """Why a node is scraped."""

    PERIODIC = "periodic"  # its moment in the period has come
    PREFETCH = "prefetch"  # a query of its usage is expected
    START = "start"  # the node is new or answers again, or pods on it have started


class Plan(NamedTuple):
    """The next scrape of a node: `at` is in monotonic seconds."""

    at: float
    reason: Reason


class Planner(Protocol):
    """Says when a node is scraped next.

    It is asked whenever a scrape of the node is due, and when `ScraperPool.replan` names the node;
    only while this replica scrapes, and not for nodes whose last scrape failed.
    """

    def next_scrape(self, node: str, last: float, periodic: float) -> Plan:
        """Return the next scrape of a node. Times are monotonic seconds.

        `last` is when the node's last scrape was due; it may still be in flight. `periodic` is the
        next moment of the node's group that is at least a third of --metric-resolution after
        `last`: the scrape of the plain schedule. A planner that wants no other time gives it back,
        and so the node returns to its group.

        How often a node is scraped is the planner's decision, and any time is allowed; one that is
        past means now. `ScrapePlans` moves only what is less than a second after `last`, or more
        than 1.5 times --metric-resolution. A scrape that falls due while the last one is in flight
        is left out.
        """


class Periodic:
    """The planner without prefetch: each node has its moment in the period."""

    def next_scrape(self, node: str, last: float, periodic: float) -> Plan:  # noqa: ARG002
        """Return the schedule's time."""
        return Plan(periodic, Reason.PERIODIC)


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
