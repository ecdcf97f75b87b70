"""When the server is ready, and one log line each time that this changes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

from prometheus_client import Gauge

from metricsapi.kube.progress import Progress, unobserved, wait_for
from metricsapi.server.operator.health import Check, problems
from metricsapi.server.operator.parts import Parts
from metricsapi.server.operator.summary import pointing, remarks
from metricsapi.telemetry.logs import LOG

# Seconds that readiness waits for a node's first scrape. Of 1,000 kubelets some always hang, and
# theirs would take until --kubelet-request-timeout.
PATIENCE = 2.0
# Seconds after the nodes were listed, for scrapes that do not even start. A cluster must not lose
# its APIService for minutes, whatever the reason.
LONGEST_UNREADY = 60.0
INTERVAL = 0.25  # seconds between two checks while not ready


class Readiness:
    """The checks that `/readyz` has beside those of liveness. `clock` gives monotonic seconds."""

    def __init__(self, parts: Parts, clock: Callable[[], float]) -> None:
        self._parts = parts
        self._clock = clock
        self._synced_at: float | None = None
        self._all_tried = False
        self.checks: dict[str, Check] = {
            "metric-storage-ready": self._tried,
            "metric-informer-sync": lambda: _synced(parts.nodes.synced, "nodes"),
            "metadata-informer-sync": lambda: _synced(parts.pods.synced, "pods"),
            "shutdown": lambda: "shutting down" if parts.leaving.is_set() else None,
        }

    def problems(self) -> dict[str, str]:
        """Return what is wrong, by name of the check; empty when ready."""
        return problems(self.checks)

    async def follow(self, gauge: Gauge, progress: Progress = unobserved) -> None:
        """Set the gauge and log each change, until cancelled.

        Once ready nothing but a shutdown makes the server unready: what the checks wait for has
        happened. So there are two states: unready, where the checks are repeated, and ready.
        """
        was_ready = False
        while True:
            progress()
            failing = self.problems()
            ready = not failing
            gauge.set(ready)
            if ready and not was_ready:
                self._became_ready()
            elif was_ready and not ready:
                LOG.info("not ready", extra={"data": {"why": failing}})
            elif self._starting():
                _keep_out_of_collections()
            was_ready = ready
            await (wait_for(self._parts.leaving) if ready else asyncio.sleep(INTERVAL))

    def _became_ready(self) -> None:
        notes = pointing(remarks(self._parts.states()))
        LOG.info("ready", extra={"data": {"remarks": notes}})
        _keep_out_of_collections()

    def _starting(self) -> bool:
        """Return whether the nodes were listed in the last `LONGEST_UNREADY` seconds."""
        return self._synced_at is not None and self._clock() - self._synced_at < LONGEST_UNREADY

    def _tried(self) -> str | None:
        """Return how many nodes have had no scrape; None for good once all have had one."""
        if self._all_tried:
            return None
        if not self._parts.nodes.synced.is_set():
            return "the list of nodes has not arrived"
        now = self._clock()
        self._synced_at = self._synced_at or now
        waiting = self._parts.untried(PATIENCE)
        if waiting and now - self._synced_at < LONGEST_UNREADY:
            return f"{waiting} nodes have not been tried yet"
        self._all_tried = True
        return None


def _keep_out_of_collections() -> None:
    """Exclude what there is now from full garbage collections, after a partial collection.

    The objects of a whole cluster are here to stay. To look at each of them held the event loop for
    0.3 s at 12,000 nodes, again and again while a start made more of them.
    """
    gc.collect(1)
    gc.freeze()


def _synced(event: asyncio.Event, what: str) -> str | None:
    return None if event.is_set() else f"the list of {what} has not arrived"
