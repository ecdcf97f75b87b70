"""`/healthz`, `/livez` and `/readyz`: names, order and texts as the recording has them.

Tools and metrics-server's own end-to-end test compare these texts. A name of the reference that
has no counterpart here stands for the nearest real check; `Liveness` says which. Liveness depends
only on this process: neither kubelets nor the API server can make it fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute

from metricsapi.api.asgi import query_of
from metricsapi.server.operator.routes import READ

Check = Callable[[], str | None]  # None if it passes, else what is wrong
_HEADERS = {"Cache-Control": "no-cache, private", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, kw_only=True)
class Liveness:
    """The checks of the process itself."""

    log: Check  # `log`: the last log line could be written
    loop: Check  # `poststarthook/max-in-flight-filter`: the event loop runs its timers
    summary: Check  # `poststarthook/storage-object-count-tracker-hook`: a line each minute
    scraping: Check  # `metric-collection-timely`: scrapes are started
    watches: Check  # `metadata-informer-sync` in livez and healthz: the informers run


def health_routes(
    liveness: Liveness,
    readiness: Mapping[str, Check],
    remarks: Callable[[], Sequence[str]] = tuple,
) -> list[BaseRoute]:
    """Return the routes of the three endpoints and of each single check below them.

    `readiness` are the checks that `/readyz` alone has; `remarks` are shown by `?verbose`.
    """
    first: dict[str, Check] = {
        "ping": lambda: None,
        "log": liveness.log,
        "poststarthook/max-in-flight-filter": liveness.loop,
        "poststarthook/storage-object-count-tracker-hook": liveness.summary,
    }
    timely = {"metric-collection-timely": liveness.scraping}
    watches = {"metadata-informer-sync": liveness.watches}
    endpoints = {
        "healthz": first | watches,
        "livez": first | timely | watches,
        "readyz": {**first, **readiness},
    }
    router = APIRouter()
    for name, checks in endpoints.items():
        _add_endpoint(router, name, checks, remarks)
    return router.routes


def problems(checks: Mapping[str, Check]) -> dict[str, str]:
    """Return what is wrong now, by name of the check; empty if nothing is."""
    return {name: problem for name, check in checks.items() if (problem := _run(check))}


def _run(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # noqa: BLE001  a check that breaks is a check that fails
        return f"{type(error).__name__}: {error}"


def _add_endpoint(
    router: APIRouter,
    name: str,
    checks: Mapping[str, Check],
    remarks: Callable[[], Sequence[str]],
) -> None:
    @router.api_route(f"/{name}", methods=READ)
    async def all_checks(request: Request) -> Response:
        query = query_of(request.scope)
        excluded = {part for value in query.all("exclude") for part in value.split(",") if part}
        failed = problems({key: check for key, check in checks.items() if key not in excluded})
        lines = [_line(key, key in excluded, key in failed) for key in checks]
        if unknown := sorted(excluded - set(checks)):
            names = ", ".join(f'"{_printable(key)}"' for key in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
        if not failed and "verbose" not in query:
            return _respond(200, "ok")
        if "verbose" in query:
            lines += [f"warn: {remark}" for remark in remarks()]
        if failed:
            return _respond(500, "\n".join([*lines, f"{name} check failed\n"]))
        return _respond(200, "\n".join([*lines, f"{name} check passed\n"]))

    for key, check in checks.items():
        _add_check(router, f"/{name}/{key}", check)


def _add_check(router: APIRouter, path: str, check: Check) -> None:
    @router.api_route(path, methods=READ)
    async def single_check() -> Response:
        problem = _run(check)
        if problem is None:
            return _respond(200, "ok")
        return _respond(500, f"internal server error: {problem}\n")


def _respond(code: int, text: str) -> Response:
    return PlainTextResponse(text, code, _HEADERS)


def _line(name: str, excluded: bool, failed: bool) -> str:
    if excluded:
        return f"[+]{name} excluded: ok"
    return f"[-]{name} failed: reason withheld" if failed else f"[+]{name} ok"


def _printable(text: str) -> str:
    return text.encode("unicode_escape").decode().replace('"', '\\"')[:100]
