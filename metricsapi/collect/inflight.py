"""How many reads are in flight at once: for one that takes long, another may begin."""

from __future__ import annotations

import asyncio

PATIENCE = 0.02  # seconds that a read counts as in flight: longer, it waits and does no work
_TICK = 0.001  # seconds: timers of the loop are no finer


class InFlight:
    """At most `limit` at once: `with await reads.place(): ...`.

    With `patience`, in seconds, one that takes longer than that counts no more.
    """

    def __init__(self, limit: int, patience: float | None = None) -> None:
        self._free = asyncio.Semaphore(limit)
        self._patience = patience
        self._taken: dict[_Place, float] = {}  # since when by the loop's clock, oldest first
        self._timer: asyncio.TimerHandle | None = None  # one for all of a thousand

    async def place(self) -> _Place:
        """Wait for a place and take it."""
        await self._free.acquire()
        place = _Place(self)
        loop = asyncio.get_running_loop()
        self._taken[place] = now = loop.time()
        if self._timer is None and self._patience is not None:
            self._timer = loop.call_at(now + self._patience, self._look, self._patience)
        return place

    def give_back(self, place: _Place) -> None:
        """Let the next one begin, unless it was let because this one took long."""
        if self._taken.pop(place, None) is not None:
            self._free.release()

    def _look(self, patience: float) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        soon = loop.time() + _TICK
        for place, since in list(self._taken.items()):
            if since + patience > soon:
                self._timer = loop.call_at(since + patience, self._look, patience)
                return
            self.give_back(place)


class _Place:
    """A place that is taken, until the end of its `with`."""

    __slots__ = ("_of",)

    def __init__(self, of: InFlight) -> None:
        self._of = of

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._of.give_back(self)
