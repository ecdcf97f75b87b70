"""What the process does about itself: watches its event loop, and logs a summary each minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from metricsapi.telemetry.logs import LOG
from metricsapi.telemetry.metrics import Telemetry
from metricsapi.telemetry.node_status import FAILING, OK, PENDING, States, in_state

# Seconds between looks at the event loop. An idle process wakes for nothing else, and each time
# costs 0.2 ms, since everything has left the processor's caches.
LAG_INTERVAL = 3.0
SUMMARY_INTERVAL = 60.0
_STALLED = 10  # a loop that has not turned for so many of its intervals stands still

Clock = Callable[[], float]  # monotonic seconds


class Beat:
    """When a loop last turned; its `problem` is a health check."""

    def __init__(self, what: str, interval: float, clock: Clock) -> None:
        self._what = what
        self._allowed = max(interval * _STALLED, 30.0)
        self._clock = clock
        self._last = clock()

    def turn(self) -> None:
        """Note that the loop has just turned."""
        self._last = self._clock()

    def problem(self) -> str | None:
        """Return None while the loop turns, else since when it does not."""
        age = self._clock() - self._last
        if age <= self._allowed:
            return None
        return f"{self._what} has not turned for {age:.0f} s"


async def watch_loop(
    telemetry: Telemetry, beat: Beat, clock: Clock, interval: float = LAG_INTERVAL
) -> None:
    """Measure how late the event loop runs a timer, until cancelled."""
    while True:
        due = clock() + interval
        await asyncio.sleep(interval)
        telemetry.loop_lag.observe(max(0.0, clock() - due))
        beat.turn()


async def summarize(
    beat: Beat,
    states: Callable[[], States],
    extra: Callable[[], Mapping[str, object]],
    interval: float = SUMMARY_INTERVAL,
) -> None:
    """Log one line per interval that says how things stand, until cancelled."""
    while True:
        await asyncio.sleep(interval)
        LOG.info("summary", extra={"data": {**summary(states()), **extra()}})
        beat.turn()


def summary(states: States) -> dict[str, object]:
    """Return the counts that tell at a glance whether anything is wrong."""
    return {
        "nodes": sum(states.values()),
        **{state: in_state(states, state) for state in (OK, FAILING, PENDING)},
        "causes": {cause: count for (state, cause), count in states.items() if state == FAILING},
    }


def remarks(states: States) -> list[str]:
    """Say what must not be hidden: a server that is ready although it lacks usage."""
    nodes, failing = sum(states.values()), in_state(states, FAILING)
    if not nodes:
        return ["there are no nodes to read"]
    if failing == nodes:
        return [f"none of {nodes} nodes could be read"]
    return [f"{failing} of {nodes} nodes could not be read"] * bool(failing)


def pointing(remarks: Sequence[str]) -> list[str]:
    """Add where to look, for everywhere else than there."""
    return [f"{one}; /statusz says why" if "could" in one else one for one in remarks]
