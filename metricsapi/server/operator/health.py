"""`/healthz`, `/livez` and `/readyz`: names, order and texts as the recording has them.

Tools and metrics-server's own end-to-end test compare these texts. A name of the reference that
has no counterpart here stands for the nearest real check; `Probes` says which. Liveness depends
only on this process: neither kubelets nor the API server can make it fail.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from metricsapi.api.asgi import query_of

Check = Callable[[], str | None]  # None if all is well, else what is wrong
_HEADERS = {"Cache-Control": "no-cache, private", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, kw_only=True)
class Probes:
    """What the checks ask. Each returns None, or what is wrong."""

    log: Check  # `log`: the last log line could be written
    loop: Check  # `poststarthook/max-in-flight-filter`: the event loop runs its timers
    housekeeping: Check  # `poststarthook/storage-object-count-tracker-hook`: the minute task turns
    collection: Check  # `metric-collection-timely`: the scraper pool's loop turns
    watches: Check  # `metadata-informer-sync` in livez and healthz: the informers' tasks run
    tried: Check  # `metric-storage-ready`: every node was tried once
    nodes_synced: Check  # `metric-informer-sync`: the list of nodes has arrived
    pods_synced: Check  # `metadata-informer-sync` in readyz: the list of pods has arrived
    shutdown: Check  # `shutdown`: nobody asked us to end
    remarks: Callable[[], Sequence[str]] = tuple  # what ?verbose says beside the checks

    @property
    def readiness(self) -> dict[str, Check]:
        """Return the checks that `/readyz` alone has."""
        return {
            "metric-storage-ready": self.tried,
            "metric-informer-sync": self.nodes_synced,
            "metadata-informer-sync": self.pods_synced,
            "shutdown": self.shutdown,
        }


def health_routes(probes: Probes) -> list[Route]:
    """Routes of the three endpoints and of each single check under them."""
    first: dict[str, Check] = {
        "ping": lambda: None,
        "log": probes.log,
        "poststarthook/max-in-flight-filter": probes.loop,
        "poststarthook/storage-object-count-tracker-hook": probes.housekeeping,
    }
    timely = {"metric-collection-timely": probes.collection}
    watches = {"metadata-informer-sync": probes.watches}
    endpoints = {
        "healthz": first | watches,
        "livez": first | timely | watches,
        "readyz": first | probes.readiness,
    }
    routes = []
    for name, checks in endpoints.items():
        routes.append(Route(f"/{name}", _all(name, checks, probes.remarks)))
        routes += [Route(f"/{name}/{one}", _one(check)) for one, check in checks.items()]
    return routes


def problems(checks: Mapping[str, Check]) -> dict[str, str]:
    """What is wrong now, by name of the check; empty if nothing is."""
    return {name: problem for name, check in checks.items() if (problem := _ask(check))}


def _ask(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # noqa: BLE001  a check that breaks is a check that fails
        return f"{type(error).__name__}: {error}"


def _all(
    name: str, checks: Mapping[str, Check], remarks: Callable[[], Sequence[str]]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        query = query_of(request.scope)
        excluded = {part for value in query.all("exclude") for part in value.split(",") if part}
        wanted = {one: check for one, check in checks.items() if one not in excluded}
        failed = problems(wanted)
        lines = [_line(one, one in excluded, one in failed) for one in checks]
        if unknown := sorted(excluded - set(checks)):
            names = ", ".join(f'"{_printable(one)}"' for one in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
        if failed:
            text = "\n".join([*lines, f"{name} check failed\n"])
            return PlainTextResponse(text, 500, _HEADERS)
        if "verbose" not in query:
            return PlainTextResponse("ok", 200, _HEADERS)
        lines += [f"warn: {remark}" for remark in remarks()]
        return PlainTextResponse("\n".join([*lines, f"{name} check passed\n"]), 200, _HEADERS)

    return endpoint


def _one(check: Check) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(_: Request) -> Response:
        problem = _ask(check)
        if problem is None:
            return PlainTextResponse("ok", 200, _HEADERS)
        return PlainTextResponse(f"internal server error: {problem}\n", 500, _HEADERS)

    return endpoint


def _line(name: str, excluded: bool, failed: bool) -> str:
    if excluded:
        return f"[+]{name} excluded: ok"
    return f"[-]{name} failed: reason withheld" if failed else f"[+]{name} ok"


def _printable(text: str) -> str:
    return text.encode("unicode_escape").decode().replace('"', '\\"')[:100]
