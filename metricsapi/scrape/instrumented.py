"""Counts and times every read of a kubelet, around whatever reads them."""

from __future__ import annotations

import logging
import time

from metricsapi.scrape.errors import Failure
from metricsapi.scrape.scraper import Scraper, Store
from metricsapi.scrape.targets import Target
from metricsapi.storage.types import NodeSample
from metricsapi.telemetry.logs import SCRAPES
from metricsapi.telemetry.metrics import Telemetry

_PHASES = ("connect", "wait", "read")  # of a read that succeeds

log = logging.getLogger(__name__)


class MeasuredScraper:
    """A scraper that tells telemetry of each read, by phase where it succeeds.

    connect: until the request was written, new connections and waiting for an earlier answer
    included; wait: until the body began; read: the rest of the body, and decoding it.
    """

    def __init__(self, inner: Scraper, telemetry: Telemetry) -> None:
        self._inner = inner
        self._telemetry = telemetry
        self._connect, self._wait, self._rest = map(telemetry.scrape_phase.of, _PHASES)
        self.slowest = 0.0  # seconds, of the reads since `tick`

    async def scrape(self, target: Target, deadline: float) -> NodeSample | Failure:
        """Read a node through the inner scraper."""
        begun = time.monotonic()
        result = await self._inner.scrape(target, deadline)
        ended = time.monotonic()
        took = ended - begun
        failed = isinstance(result, Failure)
        self._telemetry.kubelet_request(target.node, took, success=not failed, at=time.time())
        if isinstance(result, Failure):
            self._telemetry.scrape_failures.labels(str(result.cause)).inc()
        else:
            self._connect.observe(result.requested_at - begun)
            self._wait.observe(result.answered_at - result.requested_at)
            self._rest.observe(ended - result.answered_at)
        self.slowest = max(self.slowest, took)
        if log.isEnabledFor(SCRAPES):
            data = {"node": target.node, "seconds": round(took, 4), "ok": not failed}
            log.log(SCRAPES, "scrape", extra={"data": data})
        return result

    def drop(self, node: str) -> None:
        """Close the connection of a node that changed or is gone."""
        self._inner.drop(node)

    def close(self) -> None:
        """Close every connection."""
        self._inner.close()

    def tick(self) -> None:
        """End a period: a round took as long as its slowest read, as in the reference."""
        if self.slowest:
            self._telemetry.tick.observe(self.slowest)
        self.slowest = 0.0


class MeasuredStore:
    """A store that times each answer that is put in, and forgets the series of nodes gone."""

    def __init__(self, inner: Store, telemetry: Telemetry) -> None:
        self._inner = inner
        self._telemetry = telemetry
        self._took = telemetry.scrape_phase.of("store")

    def put(self, sample: NodeSample) -> None:
        """Store one answer."""
        begun = time.perf_counter()
        self._inner.put(sample)
        self._took.observe(time.perf_counter() - begun)

    def forget(self, node: str) -> None:
        """Drop a node that is gone, and its series."""
        self._inner.forget(node)
        self._telemetry.forget_node(node)
