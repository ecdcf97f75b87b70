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


class PacedReading:
    """Pauses between the bursts in which a response is read, so that others are served.

    A large response is read on once there is a place.
    """

    __slots__ = ("_large", "_loop", "_place", "_timer")  # there is one per node

    def __init__(self, large: LargeResponses) -> None:
        self._large = large
        self._place: Place | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def pause(self, transport: asyncio.Transport, size: int, too_slow: Callable[[], None]) -> None:
        """Pause the reading of a response after `size` bytes of it.

        The event loop would otherwise read up to 32 times in a row from one socket. `too_slow` is
        called when the rest of a large response has not come within `PLACE_TIME` and others wait
        for the place.
        """
        transport.pause_reading()
        if size <= LARGE:
            self._loop.call_soon(_read_on, transport)
        elif self._place is None:
            self._place = Place(self._large, lambda: self._start(transport, too_slow))
            self._place.enter()
        else:
            self._loop.call_later(GAP, _read_on, transport)

    def end(self) -> None:
        """Free the place, once the response is decoded or has failed."""
        place, self._place = self._place, None
        if place is not None:
            place.leave()
        if self._timer is not None:
            self._timer.cancel()

    def _start(self, transport: asyncio.Transport, too_slow: Callable[[], None]) -> None:
        _read_on(transport)
        self._timer = self._loop.call_later(PLACE_TIME, self._check, too_slow)

    def _check(self, too_slow: Callable[[], None]) -> None:
        if self._large.wanted:
            too_slow()
        else:
            self._timer = self._loop.call_later(PLACE_TIME, self._check, too_slow)


def _read_on(transport: asyncio.Transport) -> None:
    if not transport.is_closing():
        transport.resume_reading()
