"""Bounds the memory that large responses take together, however many kubelets send them at once.

Most responses stay below `LARGE` and do not wait. A larger response is read from its socket no
further until it has one of few places, which is freed once it is decoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from metricsapi.scrape.concurrency import InFlightLimit

LARGE = 512 * 1024  # bytes of a body
GAP = 0.002  # seconds between two reads of a large response, in which requests are served
PLACES = 1  # large responses that are read or decoded at once
PLACE_TIME = 2.0  # seconds for the rest of a large response while others wait for a place


class LargeResponses:
    """The places for large responses, and the queue for them: first in, first out."""

    def __init__(self, places: int = PLACES) -> None:
        self.limit: InFlightLimit[Place] = InFlightLimit(places, lambda place: place.start())
        self._places = places

    @property
    def wanted(self) -> bool:
        """Whether a response waits for a place."""
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
        """Free the place, or stop waiting for it. May be called more than once."""
        self._limit.remove(self)


class LargeReading:
    """Reads one large response from its socket, in bursts between which others are served.

    Calls `read_on` after each pause, and `too_slow` when the rest has not come within `PLACE_TIME`
    and others wait for the place.
    """

    def __init__(
        self, large: LargeResponses, read_on: Callable[[], None], too_slow: Callable[[], None]
    ) -> None:
        self._large = large
        self._read_on = read_on
        self._too_slow = too_slow
        self._place: Place | None = None
        self._loop = asyncio.get_running_loop()

    def pause(self) -> None:
        """Read on after a pause: the first time once there is a place."""
        if self._place is None:
            self._place = Place(self._large, self._start)
            self._place.enter()
        else:
            self._loop.call_later(GAP, self._read_on)

    def end(self) -> None:
        """Free the place."""
        place, self._place = self._place, None
        if place is not None:
            place.leave()

    def _start(self) -> None:
        self._read_on()
        self._loop.call_later(PLACE_TIME, self._check)

    def _check(self) -> None:
        if self._place is None:
            return
        if self._large.wanted:
            self._too_slow()
        else:
            self._loop.call_later(PLACE_TIME, self._check)
