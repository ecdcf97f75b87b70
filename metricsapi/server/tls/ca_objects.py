"""The Secret and the APIServices of the CA bundle: read, written and watched one by one.

A missing permission or object is reported once, and the rest goes on without it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import aclosing
from typing import Any

from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import Conflict, Forbidden, InvalidResponse, KubeError, NotFound
from metricsapi.kube.progress import Progress, unobserved

RELIST = 60.0  # seconds between two reads of what may not be watched
_WATCH = 300  # seconds that a watch is asked for
IDLE = _WATCH + 30.0  # seconds that nothing may come of a watch
_MANY = 5  # writes in ten minutes: then another client keeps writing something different
_TEN_MINUTES = 600.0

log = logging.getLogger(__name__)
Object = dict[str, Any]


class ObjectAccess:
    """Access to single objects. `changed` is set whenever one that is watched has changed."""

    def __init__(self, client: KubeClient) -> None:
        self.changed = asyncio.Event()
        self._client = client
        self._reported: dict[str, str] = {}
        self._writes: deque[float] = deque(maxlen=_MANY)

    async def get(self, path: str, name: str, *, optional: bool = False) -> Object | None:
        """Return an object; None without it, or without the right to read it.

        `optional` is one whose absence is normal. Raises KubeError when the API server cannot be
        reached, or sends another object.
        """
        try:
            item: Object = await self._client.request_json("GET", f"{path}/{name}", Object)
        except NotFound:
            if not optional:
                self.report(f"get {name}", f"there is no {path}/{name}; going on without it")
        except Forbidden as error:
            self._forbidden(f"get {name}", error)
        else:
            metadata = item.get("metadata")
            if not isinstance(metadata, dict) or metadata.get("name") != name:
                raise InvalidResponse(f"{path}/{name} is answered with something else")
            self.resolved(f"get {name}")
            return item
        return None

    async def put(self, path: str, name: str, body: Object) -> bool | None:
        """Write an object as it was read but for our change.

        Returns True when written, None when it has changed meanwhile, False when it may not be.
        """
        try:
            await self._client.request("PUT", f"{path}/{name}", body=body)
        except Conflict:
            return None
        except Forbidden as error:
            self._forbidden(f"put {name}", error)
            return False
        self.resolved(f"put {name}")
        self._writes.append(time.monotonic())
        log.info("wrote our CA", extra={"data": {"object": f"{path}/{name}"}})
        return True

    async def watch(self, path: str, name: str, progress: Progress = unobserved) -> None:
        """Set `changed` at each change of an object, until cancelled."""
        params: dict[str, str | int] = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "timeoutSeconds": _WATCH,
        }
        while True:
            progress()
            try:
                lines = self._client.stream_lines(
                    path, params=params, accept="application/json", idle_timeout=IDLE
                )
                async with aclosing(lines):
                    async for _ in lines:
                        progress()
                        self.changed.set()
                        self.resolved(f"watch {name}")
                await asyncio.sleep(1.0)
            except Forbidden as error:
                self.report(
                    f"watch {name}", f"missing permission: {error.message}; polling instead"
                )
                await asyncio.sleep(RELIST)
            except KubeError:
                await asyncio.sleep(5.0)  # the read that follows reports what is wrong

    def is_contested(self) -> bool:
        """Return whether we have written so often that another client must keep undoing it."""
        writes = self._writes
        contested = len(writes) == _MANY and time.monotonic() - writes[0] < _TEN_MINUTES
        if contested:
            self.report("contested", "someone else keeps changing our Secret or APIServices")
        return contested

    def report(self, about: str, problem: str, level: int = logging.WARNING) -> None:
        """Log a problem, once until it is another one or is resolved."""
        if self._reported.get(about) != problem:
            self._reported[about] = problem
            log.log(level, "CA bundle", extra={"data": {"problem": problem}})

    def resolved(self, about: str) -> None:
        """Note that a problem is over, so that it is logged when it comes again."""
        self._reported.pop(about, None)

    def _forbidden(self, about: str, error: Forbidden) -> None:
        self.report(about, f"missing permission: {error.message}; going on without it")
