"""Counts and logs requests and connections that are refused before they reach the app."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from metricsapi.server.http.refusal import FLAGS, Refused

INTERVAL = 10.0  # seconds between two log lines of a reason: any client can cause them

log = logging.getLogger(__name__)


class RefusalLog:
    """Shared by all connections. `count` is called with the reason of each refusal.

    `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        count: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._clock = clock
        self._next: dict[str, float] = {}  # by reason: when it may be logged again
        self._suppressed: dict[str, int] = {}

    def note(self, refused: Refused, client: tuple[str, int] | None, request_id: str = "") -> None:
        """Count a refusal, and log it unless its reason was logged less than 10 s ago."""
        reason = refused.reason
        self._count(reason)
        now = self._clock()
        if now < self._next.get(reason, now):
            self._suppressed[reason] = self._suppressed.get(reason, 0) + 1
            return
        self._next[reason] = now + INTERVAL
        data: dict[str, object] = {
            "client": ":".join(map(str, client or ())),
            "reason": reason,
            "error": str(refused),
        }
        if refused.status is not None:
            data["code"] = refused.status.code
        if reason in FLAGS:
            data["flags"] = FLAGS[reason]
        if request_id:
            data["request"] = request_id
        if suppressed := self._suppressed.pop(reason, 0):
            data["suppressed"] = suppressed
        log.info("request refused", extra={"data": data})
