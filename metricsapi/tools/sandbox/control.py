"""`/sandbox/outage`: outages switched by other processes, with an administrator's credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from metricsapi.tools.sandbox.outages import Outage, Outages
from metricsapi.tools.sandbox.responses import json_response, status

PATH = "/sandbox/outage"
LONGEST = 86400  # seconds
_RESPONSE_FIRST = 0.05  # seconds before the outage begins, in which the response is sent


class OutageControl:
    """GET gives the outage; POST with `?outage=NAME&seconds=N` changes it, without N for good."""

    def __init__(self, outages: Outages, change: Callable[[Outage], Awaitable[None]]) -> None:
        self._outages = outages
        self._change = change
        self.task: asyncio.Task[None] | None = None  # the one that will change it back

    def routes(self) -> list[Route]:
        return [Route(PATH, self._handle, methods=["GET", "POST"])]

    async def _handle(self, request: Request) -> Response:
        if request.method == "POST":
            query = request.query_params
            try:
                outage = Outage(query.get("outage", ""))
                seconds = float(query.get("seconds") or 0)
            except ValueError as error:
                return status(400, f"{error}; outages are {', '.join(Outage)}")
            if not 0 <= seconds <= LONGEST:
                return status(400, f"seconds must be from 0 to {LONGEST}, not {seconds:g}")
            if self.task is not None:
                self.task.cancel()
            self.task = asyncio.create_task(self._for(outage, seconds))
        return json_response({"outage": self._outages.now})

    async def _for(self, outage: Outage, seconds: float) -> None:
        await asyncio.sleep(_RESPONSE_FIRST)
        await self._change(outage)
        if seconds:
            await asyncio.sleep(seconds)
            await self._change(Outage.NONE)
