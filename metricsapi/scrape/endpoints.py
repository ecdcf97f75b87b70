"""A kubelet's two endpoints with usage, and which of them each node is scraped at."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
from msgspec import Struct

from metricsapi.scrape.decoding import Exchange, Steps
from metricsapi.scrape.targets import Target
from metricsapi.storage.types import NodeSample

SUMMARY = "/stats/summary"  # with file systems, which costs the node more
SHORT_SUMMARY = f"{SUMMARY}?only_cpu_and_memory=true"
RESOURCE_METRICS = "/metrics/resource"
SUMMARY_AGAIN = 600.0  # seconds until the Summary of a node that had no good one is tried again

# Makes a sample of a response's body, in steps; raises DecodeError.
Decode = Callable[[bytes | bytearray, Exchange], Steps[NodeSample]]

log = logging.getLogger(__name__)


class Endpoint(Struct, frozen=True):
    """One endpoint: `name` is that of --kubelet-endpoint."""

    name: str
    path: str
    accept: str
    permission: str
    decode: Decode


class Choice(Struct):
    """What is remembered of one node."""

    resource_until: float  # monotonic seconds; until then the Summary is not scraped
    reason: str  # what is wrong with the Summary


class Endpoints:
    """Chooses the endpoint of each node: `wanted` is `summary`, `resource` or `auto`."""

    def __init__(self, wanted: str, summary: Endpoint, resource: Endpoint) -> None:
        self.summary = summary
        self.resource = resource
        self._wanted = wanted
        self._choices: dict[str, Choice] = {}
        self._compared: dict[str, float] = {}  # until when, in monotonic seconds

    def current(self, target: Target, now: float) -> Endpoint:
        """Return the endpoint to be scraped at `now` (monotonic seconds)."""
        if target.path is not None:
            return msgspec.structs.replace(self.resource, path=target.path)
        choice = self._choices.get(target.node)
        other = choice is not None and choice.resource_until > now
        return self.resource if other or self._wanted == "resource" else self.summary

    def reason(self, target: Target) -> str:
        """Return why `auto` does not scrape the Summary; empty if it does."""
        choice = self._choices.get(target.node)
        return choice.reason if choice is not None else ""

    def other(self, endpoint: Endpoint) -> Endpoint | None:
        """Return the endpoint to try where `endpoint` is no good; None if there is none."""
        return self.resource if self._wanted == "auto" and endpoint is self.summary else None

    def may_compare(self, target: Target, now: float) -> bool:
        """Return whether to compare with the other endpoint: once in `SUMMARY_AGAIN` seconds."""
        if self._compared.get(target.node, now) > now:
            return False
        self._compared[target.node] = now + SUMMARY_AGAIN
        return True

    def prefer_resource(self, target: Target, reason: str, now: float) -> None:
        """Scrape the resource metrics from now on, for some time. A new reason is logged."""
        if self.reason(target) != reason:
            data = {"node": target.node, "endpoint": self.resource.name, "reason": reason}
            log.info("node is scraped at its other endpoint", extra={"data": data})
        self._choices[target.node] = Choice(now + SUMMARY_AGAIN, reason)

    def prefer_summary(self, target: Target) -> None:
        """Scrape the Summary again: it is good, or the resource metrics are no good any more."""
        if self._choices.pop(target.node, None) is not None:
            data = {"node": target.node, "endpoint": self.summary.name, "reason": ""}
            log.info("node is scraped at its other endpoint", extra={"data": data})

    def forget(self, node: str) -> None:
        """Drop what is remembered of a node."""
        self._choices.pop(node, None)
        self._compared.pop(node, None)
