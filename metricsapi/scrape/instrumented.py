"""Counts and times every scrape, around the client and the store that do the work."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator

from metricsapi.scrape.errors import CANCELLED, Cause, Failure
from metricsapi.scrape.parts import Scraper, Store
from metricsapi.scrape.targets import Target
from metricsapi.storage.types import NodeSample
from metricsapi.telemetry.logs import SCRAPES
from metricsapi.telemetry.metrics import Telemetry

_PHASES = ("connect", "wait", "read")

log = logging.getLogger(__name__)


class MeasuredScraper:
    """A scraper that reports each scrape to telemetry; those that succeed by phase, too.

    connect: until the request was written, a new connection included; wait: until the first byte
    of the response; read: the rest of the response, and decoding it.
    """

    def __init__(self, inner: Scraper, telemetry: Telemetry) -> None:
        self._inner = inner
        self._telemetry = telemetry
        self._connect, self._wait, self._rest = map(telemetry.scrape_phase.of, _PHASES)
        self.slowest = 0.0  # seconds, of the scrapes since `tick`

    async def scrape(self, target: Target, deadline: float) -> NodeSample | Failure:
        """Scrape a node with the inner scraper."""
        started = time.monotonic()
        try:
            result = await self._inner.scrape(target, deadline)
        except CANCELLED:
            raise
        except BaseException:
            self._count_failure(Cause.INTERNAL)
            raise
        ended = time.monotonic()
        took = ended - started
        failed = isinstance(result, Failure)
        self._telemetry.kubelet_request(target.node, took, success=not failed, at=time.time())
        if isinstance(result, Failure):
            self._count_failure(result.cause)
        else:
            self._connect.observe(result.requested_at - started)
            self._wait.observe(result.answered_at - result.requested_at)
            self._rest.observe(ended - result.answered_at)
        self.slowest = max(self.slowest, took)
        if log.isEnabledFor(SCRAPES):
            data = {"node": target.node, "seconds": round(took, 4), "ok": not failed}
            log.log(SCRAPES, "scrape", extra={"data": data})
        return result

    def _count_failure(self, cause: Cause) -> None:
        self._telemetry.scrape_failures.labels(str(cause)).inc()

    def drop(self, node: str) -> None:
        """Close the connection of a node that changed or is gone."""
        self._inner.drop(node)

    def close(self) -> None:
        """Close every connection."""
        self._inner.close()

    def tick(self) -> None:
        """End a period: a cycle took as long as its slowest scrape, as in the reference."""
        if self.slowest:
            self._telemetry.tick.observe(self.slowest)
        self.slowest = 0.0


class MeasuredStore:
    """A store that times the storing of each sample, and drops the series of gone nodes."""

    def __init__(self, inner: Store, telemetry: Telemetry) -> None:
        self._inner = inner
        self._telemetry = telemetry
        self._took = telemetry.scrape_phase.of("store")

    def put_in_steps(self, sample: NodeSample) -> Generator[None, None, None]:
        """Store one sample in steps; what happens between them is not counted."""
        took = 0.0
        steps = self._inner.put_in_steps(sample)
        while True:
            started = time.perf_counter()
            try:
                next(steps)
            except StopIteration:
                self._took.observe(took + time.perf_counter() - started)
                return
            except CANCELLED:
                raise
            except BaseException:
                self._telemetry.scrape_failures.labels(str(Cause.INTERNAL)).inc()
                raise
            took += time.perf_counter() - started
            yield

    def forget(self, node: str) -> None:
        """Drop a node that is gone, and its series."""
        self._inner.forget(node)
        self._telemetry.forget_node(node)
