"""Bounds the memory that large responses take together, however many kubelets send them at once.

Most responses stay below `LARGE` and do not wait. Of a larger one no more is read from its
socket until it has one of few places, which it gives back once it is decoded.
"""

from __future__ import annotations

from collections.abc import Callable

from metricsapi.scrape.concurrency import InFlightLimit

LARGE = 512 * 1024  # bytes of a body
PLACES = 1  # large responses that are read or decoded at once
PLACE_TIME = 2.0  # seconds for the rest of a large response while others wait for a place


class LargeResponses:
    """The places, and who waits for one: first come, first served."""

    def __init__(self, places: int = PLACES) -> None:
        self.limit: InFlightLimit[Place] = InFlightLimit(places, lambda place: place.start())
        self._places = places

    @property
    def wanted(self) -> bool:
        """Whether somebody waits."""
        return len(self.limit) > self._places


class Place:
    """A place for one large response; calls `start` when it may be read on."""

    def __init__(self, large: LargeResponses, start: Callable[[], None]) -> None:
        self.start = start
        self._limit = large.limit

    def enter(self) -> None:
        """Ask for the place; `start` is called when it is free, perhaps at once."""
        self._limit.add(self)

    def leave(self) -> None:
        """Give up the place, or stop waiting for it. May be called more than once."""
        self._limit.remove(self)
