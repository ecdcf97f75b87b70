"""Refuses usage while what is stored is stale: after the process stood still."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from metricsapi.api.status import StatusError, send_status

_STALE = StatusError(
    503,
    "ServiceUnavailable",
    "this replica stood still and scrapes again; ask again",
    headers={"retry-after": "1"},
)
_USAGE = re.compile(r"/apis/metrics\.k8s\.io/[^/]+/.")


class RefuseStale:
    """ASGI middleware that refuses requests for usage while it is not `fresh`."""

    def __init__(self, app: Any, fresh: Callable[[], bool]) -> None:
        self._app = app
        self._fresh = fresh

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not self._fresh() and _USAGE.match(scope["path"]):
            await send_status(scope, send, _STALE)
        else:
            await self._app(scope, receive, send)
