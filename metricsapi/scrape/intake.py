"""Scrapes a node and stores its sample."""

from __future__ import annotations

import logging

from metricsapi.scrape.decoding import run
from metricsapi.scrape.errors import CANCELLED, Cause, Failure
from metricsapi.scrape.parts import Scraper, Store
from metricsapi.scrape.slices import Slices
from metricsapi.scrape.targets import Target
from metricsapi.storage.types import NodeSample

log = logging.getLogger(__name__)


class Intake:
    """Scrapes and stores. A bug in either is a failure of that node, and ends nothing else."""

    def __init__(self, scraper: Scraper, store: Store, slices: Slices) -> None:
        self._scraper = scraper
        self._store = store
        self._slices = slices

    async def scrape(self, target: Target, deadline: float) -> NodeSample | Failure:
        """Scrape a node; `deadline` is in monotonic seconds."""
        try:
            return await self._scraper.scrape(target, deadline)
        except CANCELLED:
            raise
        except BaseException as error:  # noqa: BLE001  it is logged
            return _internal("scraping a node failed", target.node, error)

    async def store(self, sample: NodeSample) -> NodeSample | Failure:
        """Store a sample, in slices between which others are served; return it, or the failure."""
        try:
            await self._slices.run(self._store.put_in_steps(sample), begun=True)
        except CANCELLED:
            raise
        except BaseException as error:  # noqa: BLE001  it is logged
            return _internal("storing a sample failed", sample.node, error)
        return sample

    def store_at_once(self, sample: NodeSample) -> NodeSample | Failure:
        """Store a sample without a pause."""
        try:
            run(self._store.put_in_steps(sample))
        except CANCELLED:
            raise
        except BaseException as error:  # noqa: BLE001  it is logged
            return _internal("storing a sample failed", sample.node, error)
        return sample


def _internal(message: str, node: str, error: BaseException) -> Failure:
    log.error(message, exc_info=error, extra={"data": {"node": node}})
    return Failure(Cause.INTERNAL, f"{type(error).__name__}: {error}")
