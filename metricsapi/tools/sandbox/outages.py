"""The outages of the stand-in API server, which tests switch on and off."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from enum import StrEnum

from starlette.responses import HTMLResponse, Response

from metricsapi.tools.sandbox.responses import encoded, plain, status

_NONSENSE = (b"null", b"[]", b"3", b'"text"', b'{"items": 3}', b'{"items": [null, 3, {}]}', b"{}")


class Outage(StrEnum):
    """A kind of outage, which lasts until NONE is set."""

    NONE = "none"
    DOWN = "down"  # the port is closed, every connection is reset
    SLOW = "slow"  # every response begins `delay` seconds late
    HANG = "hang"  # requests wait until it is over; watches fall silent
    FAILING = "failing"  # 500
    BUSY = "busy"  # 429 with Retry-After
    SILENT_WATCHES = "silent-watches"  # no events, no bookmarks, no end: a half-open connection
    HTML = "html"  # 200 with a web page, as from a captive portal or a wrong proxy
    NONSENSE = "nonsense"  # 200 with JSON of another shape
    TRUNCATED_WATCHES = "truncated-watches"  # every watch ends within a line
    EXPIRED_WATCHES = "expired-watches"  # every watch ends with 410, as after compaction


class Outages:
    """The present outage. `delay` and `retry_after` are in seconds."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.now = Outage.NONE
        self.delay = 1.0
        self.retry_after = 1
        self._wake = wake
        self._over = asyncio.Event()

    @property
    def silent(self) -> bool:
        return self.now in (Outage.SILENT_WATCHES, Outage.HANG)

    @property
    def expired(self) -> bool:
        return self.now is Outage.EXPIRED_WATCHES

    @property
    def truncated(self) -> bool:
        return self.now is Outage.TRUNCATED_WATCHES

    def set(self, outage: Outage) -> None:
        """Set the outage; running watches notice, and waiting requests go on."""
        over, self._over = self._over, asyncio.Event()
        self.now = outage
        over.set()
        self._wake()

    async def before(self) -> Response | None:
        """Delay a request as the outage says; return the response that it gets instead, if any."""
        while self.now is Outage.HANG:
            await self._over.wait()
        if self.now is Outage.SLOW:
            await asyncio.sleep(self.delay)
        if self.now is Outage.FAILING:
            return status(500, "Internal error occurred: etcdserver: no leader")
        if self.now is Outage.HTML:
            return HTMLResponse("<!DOCTYPE html><html><body>Please log in</body></html>")
        if self.now is Outage.NONSENSE:
            return encoded(random.choice(_NONSENSE))
        if self.now is Outage.BUSY:
            response = plain(429, "Too many requests, please try again later.")
            response.headers["Retry-After"] = str(self.retry_after)
            return response
        return None
