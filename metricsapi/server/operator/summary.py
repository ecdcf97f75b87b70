"""The state of the server in a few words: remarks, and one log line per minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from metricsapi.kube.progress import Progress, unobserved
from metricsapi.server.operator.watchdog import Watchdog
from metricsapi.telemetry.logs import LOG
from metricsapi.telemetry.node_status import (
    FAILING,
    OK,
    PENDING,
    TROUBLED,
    UNUSABLE,
    States,
    in_state,
)

SUMMARY_INTERVAL = 60.0  # seconds


async def log_summaries(
    watchdog: Watchdog,
    states: Callable[[], States],
    numbers: Callable[[], Mapping[str, object]],
    interval: float = SUMMARY_INTERVAL,
    *,
    progress: Progress = unobserved,
) -> None:
    """Log nodes by state and `numbers` each `interval` (seconds), until cancelled."""
    while True:
        await asyncio.sleep(interval)
        watchdog.progress()
        progress()
        LOG.info("summary", extra={"data": {**summary(states()), **numbers()}})


def summary(states: States) -> dict[str, object]:
    """Return the counts of nodes that show whether anything is wrong."""
    return {
        "nodes": sum(states.values()),
        **{state: in_state(states, state) for state in (OK, FAILING, PENDING)},
        **({UNUSABLE: unusable} if (unusable := in_state(states, UNUSABLE)) else {}),
        "causes": {cause: count for (state, cause), count in states.items() if state in TROUBLED},
    }


class Totals:
    """Totals that only grow, of which each summary shows the growth since the one before."""

    def __init__(self, read: Callable[[], Mapping[str, float]]) -> None:
        self._read = read
        self._before = dict(read())

    def growth(self) -> dict[str, int]:
        """Return how much each total has grown since the last call."""
        before, self._before = self._before, dict(self._read())
        return {name: round(total - before[name]) for name, total in self._before.items()}


def remarks(states: States) -> list[str]:
    """Return what a ready server must not hide: that usage is missing."""
    nodes = sum(states.values())
    failing, pending = in_state(states, FAILING), in_state(states, PENDING)
    if not nodes:
        return ["there are no nodes to read"]
    if failing == nodes:
        return [f"none of {nodes} nodes could be read"]
    unusable = in_state(states, UNUSABLE)
    return [
        *[f"{failing} of {nodes} nodes could not be read"] * bool(failing),
        *[f"{unusable} of {nodes} nodes could be read, but have no usable usage"] * bool(unusable),
        *[f"{pending} of {nodes} nodes have not answered yet"] * bool(pending),
    ]


def pointing(remarks: Sequence[str]) -> list[str]:
    """Append where to look for more; the status page shows remarks without that."""
    return [f"{remark}; /statusz says why" if "could" in remark else remark for remark in remarks]
