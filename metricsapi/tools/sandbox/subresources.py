"""Parts of objects beside their status: the logs of the server, and what the sandbox lacks.

The sandbox runs no containers. Requests about them are refused with what to use instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from metricsapi.tools.sandbox.kinds import KINDS, Kind
from metricsapi.tools.sandbox.responses import not_found, status
from metricsapi.tools.sandbox.state import Cluster

_METHODS = ["GET", "POST", "PUT", "PATCH"]
_FOLLOW_EVERY = 0.3  # seconds
_NO_CONTAINERS = "the sandbox runs no containers"


class Subresources:
    """Serves what no other route does. `logs` maps a pod (namespace, name) to its log file.

    `ports` gives the addresses on which Services are reached on this machine, as host:port.
    """

    def __init__(self, cluster: Cluster, ports: Callable[[], list[str]]) -> None:
        self.logs: dict[tuple[str, str], Path] = {}
        self._cluster = cluster
        self._ports = ports

    def routes(self) -> list[Route]:
        made = []
        for kind in KINDS:
            if kind.kind == "Namespace":  # below it are resources, not parts of it
                continue
            within = "/namespaces/{namespace}" if kind.namespaced else ""
            path = f"{kind.prefix}{within}/{kind.plural}/{{name}}/{{subresource}}"
            made.append(Route(path, self._handler(kind), methods=_METHODS))
        return made

    def _handler(self, kind: Kind) -> Any:
        async def handle(request: Request) -> Response:
            key = request.path_params.get("namespace", ""), request.path_params["name"]
            if key not in self._cluster.collections[kind.plural].records:
                return not_found(kind.resource, key[1])
            subresource = request.path_params["subresource"]
            if kind.plural == "pods" and subresource == "log" and key in self.logs:
                return self._log(request, self.logs[key])
            return status(501, self._refusal(kind, subresource), "NotImplemented")

        return handle

    def _refusal(self, kind: Kind, subresource: str) -> str:
        if kind.plural == "pods" and subresource == "log":
            readable = [f"kubectl logs -n {namespace} {name}" for namespace, name in self.logs]
            server = f"; the server's log: {readable[0]}" if readable else ""
            return f"{_NO_CONTAINERS}, so this pod has no log{server}"
        if kind.plural in ("pods", "services") and subresource in ("portforward", "proxy"):
            ports = ", ".join(self._ports())
            where = f": the server listens on {ports} of this machine itself" if ports else ""
            return f"the sandbox forwards no ports{where}"
        if kind.plural == "pods":
            return f"{_NO_CONTAINERS}: there is nothing to {subresource} in"
        return f"the sandbox has no {kind.resource}/{subresource}"

    def _log(self, request: Request, path: Path) -> Response:
        query = request.query_params
        wanted = query.get("tailLines", "")
        tail = int(wanted) if wanted.isascii() and wanted.isdecimal() else None
        follow = query.get("follow") in ("true", "1")
        if not path.exists():
            return status(404, f"there is no {path} yet")
        return StreamingResponse(_lines(path, tail, follow=follow), media_type="text/plain")


async def _lines(path: Path, tail: int | None, *, follow: bool) -> AsyncIterator[bytes]:
    """Yield a file from its last `tail` lines on, and with `follow` what is added to it."""
    with path.open("rb") as file:
        lines = file.readlines()
        yield b"".join(lines if tail is None else lines[max(0, len(lines) - tail) :])
        while follow:
            await asyncio.sleep(_FOLLOW_EVERY)
            if more := file.read():
                yield more
