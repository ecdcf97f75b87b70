"""Scrapes a node and stores its sample; counts and times both.

A bug in either is a failure of that node with the cause `internal`, and ends nothing else.
"""

from __future__ import annotations

import logging
import time

from metricsapi.scrape.decoding import Steps, run
from metricsapi.scrape.errors import CANCELLED, Cause, Failure
from metricsapi.scrape.kubelet import KubeletClient
from metricsapi.scrape.parts import Store
from metricsapi.scrape.slices import Slices
from metricsapi.scrape.targets import Target
from metricsapi.storage.types import NodeSample
from metricsapi.telemetry.logs import SCRAPES
from metricsapi.telemetry.metrics import Telemetry

_PHASES = ("connect", "wait", "read", "store")

log = logging.getLogger(__name__)


class Intake:
    """Scrapes nodes with `client` and puts their samples into `store`, in `slices`.

    Scrapes that succeed are timed by phase. connect: until the request was written, a new
    connection included; wait: until the first byte of the response; read: the rest of the
    response, and decoding it; store: storing the sample.
    """

    def __init__(
        self, client: KubeletClient, store: Store, telemetry: Telemetry, slices: Slices
    ) -> None:
        self._client = client
        self._store = store
        self._telemetry = telemetry
        self._slices = slices
        self._connect, self._wait, self._read, self._stored = map(
            telemetry.scrape_phase.of, _PHASES
        )
        self._slowest = 0.0  # seconds, of the scrapes of this cycle

    async def scrape(self, target: Target, deadline: float) -> NodeSample | Failure:
        """Scrape a node; `deadline` is in monotonic seconds."""
        started = time.monotonic()
        try:
            result = await self._client.scrape(target, deadline)
        except CANCELLED:
            raise
        except BaseException as error:  # noqa: BLE001  it is logged
            return self._internal("scraping a node failed", target.node, error)
        ended = time.monotonic()
        took = ended - started
        succeeded = isinstance(result, NodeSample)
        self._telemetry.kubelet_request(target.node, took, success=succeeded, at=time.time())
        self._slowest = max(self._slowest, took)
        if isinstance(result, NodeSample):
            self._connect.observe(result.requested_at - started)
            self._wait.observe(result.answered_at - result.requested_at)
            self._read.observe(ended - result.answered_at)
        else:
            self._count_failure(result.cause)
        if log.isEnabledFor(SCRAPES):
            data = {"node": target.node, "seconds": round(took, 4), "ok": succeeded}
            log.log(SCRAPES, "scrape", extra={"data": data})
        return result

    async def store(self, sample: NodeSample) -> NodeSample | Failure:
        """Store a sample, in slices between which others are served; return it, or the failure."""
        try:
            await self._slices.run(self._timed(sample), begun=True)
        except CANCELLED:
            raise
        except BaseException as error:  # noqa: BLE001  it is logged
            return self._internal("storing a sample failed", sample.node, error)
        return sample

    def store_at_once(self, sample: NodeSample) -> NodeSample | Failure:
        """Store a sample without a pause."""
        try:
            run(self._timed(sample))
        except CANCELLED:
            raise
        except BaseException as error:  # noqa: BLE001  it is logged
            return self._internal("storing a sample failed", sample.node, error)
        return sample

    def forget(self, node: str) -> None:
        """Drop the usage and the series of a node that is gone."""
        self._store.forget(node)
        self._telemetry.forget_node(node)

    def end_cycle(self) -> None:
        """End a period: a cycle took as long as its slowest scrape, as in metrics-server."""
        if self._slowest:
            self._telemetry.tick.observe(self._slowest)
        self._slowest = 0.0

    def _timed(self, sample: NodeSample) -> Steps[None]:
        """Store a sample in steps; what happens between them is not counted."""
        took = 0.0
        steps = self._store.put_in_steps(sample)
        while True:
            started = time.perf_counter()
            try:
                next(steps)
            except StopIteration:
                self._stored.observe(took + time.perf_counter() - started)
                return
            took += time.perf_counter() - started
            yield

    def _internal(self, message: str, node: str, error: BaseException) -> Failure:
        log.error(message, exc_info=error, extra={"data": {"node": node}})
        self._count_failure(Cause.INTERNAL)
        return Failure(Cause.INTERNAL, f"{type(error).__name__}: {error}")

    def _count_failure(self, cause: Cause) -> None:
        self._telemetry.scrape_failures.labels(str(cause)).inc()
