"""The aggregation layer: which APIServices are available, and how a request passes through it.

Requests are those of the recording `aggregator-requests.jsonl`. A probe takes any certificate,
as kube-apiserver's does; what is passed on verifies it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response

from metricsapi.tools.sandbox.authorities import Authorities
from metricsapi.tools.sandbox.backends import Address, Backends, NoEndpoints
from metricsapi.tools.sandbox.forwarding import (
    headers_to,
    identity,
    in_go_order,
    passed_on,
    streamed,
    target_of,
)
from metricsapi.tools.sandbox.rbac import MASTERS, User
from metricsapi.tools.sandbox.record import Object
from metricsapi.tools.sandbox.responses import plain
from metricsapi.tools.sandbox.state import Cluster, Conflict, timestamp

ATTEMPTS = 5  # probes at once; one success is enough
PROBE_EVERY = 30.0  # seconds while all is well
PROBE_AGAIN = 0.5  # while something is not
_POLL = 0.1  # seconds at most until a change of endpoints is noticed
KUBE_AGGREGATOR = User("system:kube-aggregator", (MASTERS,))
_ERRORS = (httpx.TransportError, ssl.SSLError, OSError)


class Aggregator:
    """Sends what belongs to an APIService to a server behind its Service."""

    def __init__(self, cluster: Cluster, authorities: Authorities) -> None:
        self.cluster = cluster
        self.backends = Backends(authorities)
        self._attempts: set[asyncio.Task[Exception | None]] = set()

    @property
    def endpoints(self) -> dict[tuple[str, str], list[Address]]:
        """Where the Services' servers are, by (namespace, name)."""
        return self.backends.endpoints

    def addresses(self) -> list[str]:
        """Return the endpoints of all Services, as host:port."""
        return [f"{host}:{port}" for among in self.endpoints.values() for host, port in among]

    def services(self) -> list[Object]:
        """Return the APIServices that a Service serves."""

        def find() -> list[Object]:
            return [o for o in self.cluster.list("apiservices") if o["spec"].get("service")]

        return self.cluster.derived("aggregated", ["apiservices"], find)

    def service_for(self, path: str) -> Object | None:
        """Return the APIService that a path belongs to, if one is served by a Service."""
        parts = path.split("/")
        if len(parts) < 4 or parts[1] != "apis":
            return None
        name = f"{parts[3]}.{parts[2]}"
        return next((each for each in self.services() if each["metadata"]["name"] == name), None)

    async def run(self) -> None:
        """Probe every APIService with a Service, until cancelled."""
        seen: Any = None
        due = 0.0
        while True:
            present = [(each["metadata"]["name"], each["spec"]) for each in self.services()]
            now = time.monotonic()
            if now >= due or seen != (present, self.endpoints):
                seen = present, {name: [*addresses] for name, addresses in self.endpoints.items()}
                probes = [self.probe(each) for each in self.services()]
                passed = all(await asyncio.gather(*probes))
                due = time.monotonic() + (PROBE_EVERY if passed else PROBE_AGAIN)
            await self.cluster.wait_change(_POLL, "apiservices")

    async def probe(self, item: Object) -> bool:
        """Request discovery from an APIService's server; write the Available condition."""
        service = item["spec"]["service"]
        where = service["namespace"], service["name"]
        reason, message = "Passed", "all checks passed"
        if self.cluster.get("services", where[1], where[0]) is None:
            reason = "ServiceNotFound"
            message = f'service/{where[1]} in "{where[0]}" is not present'
        else:
            problem = await self._discovery_problem(item)
            if isinstance(problem, NoEndpoints):
                reason, message = "MissingEndpoints", str(problem)
            elif problem:
                reason, message = "FailedDiscoveryCheck", str(problem)
        self._write_condition(item["metadata"]["name"], reason, message)
        return reason == "Passed"

    async def _discovery_problem(self, item: Object) -> Exception | None:
        """Return the last attempt's problem; None as soon as one attempt has succeeded."""
        attempts = [asyncio.create_task(self._attempt(item)) for _ in range(ATTEMPTS)]
        self._attempts.update(attempts)  # the others go on to their end
        for task in attempts:
            task.add_done_callback(self._attempts.discard)
        problem: Exception | None = None
        for each in asyncio.as_completed(attempts):
            problem = await each
            if problem is None:
                break
        return problem

    async def _attempt(self, item: Object) -> Exception | None:
        spec = item["spec"]
        try:
            host = self.backends.endpoint(item)
        except NoEndpoints as error:
            return error
        url = f"https://{host}/apis/{spec['group']}/{spec['version']}"
        headers = [("User-Agent", "Go-http-client/1.1"), *identity(KUBE_AGGREGATOR)]
        try:
            code = await self.backends.probe(url, in_go_order(host, headers))
        except _ERRORS as error:
            return _problem(url, error)
        if 200 <= code < 300:
            return None
        return _problem(url, Exception(f"bad status from {url}: {code}"))

    async def proxy(
        self, request: Request, item: Object, user: User, *, client: bool = True
    ) -> Response:
        """Forward a request, as the front proxy, and return its response."""
        if not available(item):
            return plain(503, "service unavailable")
        headers = passed_on(request.headers)
        came_from = request.client[0] if client and request.client else ""
        if came_from and (before := request.headers.get("x-forwarded-for")):
            came_from = f"{before}, {came_from}"
        content = await request.body()
        try:
            response = await self.send(
                item,
                request.method,
                target_of(request),
                user=user,
                client=came_from,
                kept=headers,
                content=content or None,
            )
        except NoEndpoints:
            return plain(503, "service unavailable")
        except ValueError as error:  # a bundle that is no certificate
            return plain(500, str(error))
        except _ERRORS as error:
            return plain(503, f"error trying to reach service: {error or type(error).__name__}")
        return streamed(request, response)

    async def send(
        self,
        item: Object,
        method: str,
        target: str,
        *,
        user: User,
        kept: list[tuple[str, str]],
        client: str = "",
        content: bytes | None = None,
    ) -> httpx.Response:
        """Send a request to an APIService's server; the response's body is unread.

        Raises NoEndpoints, httpx.TransportError or ssl.SSLError.
        """
        host = self.backends.endpoint(item)
        headers = headers_to(host, target, user=user, client=client, kept=kept)
        return await self.backends.send(item, method, f"https://{host}{target}", headers, content)

    async def close(self) -> None:
        for task in self._attempts:
            task.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)
        await self.backends.close()

    def _write_condition(self, name: str, reason: str, message: str) -> None:
        item = self.cluster.get("apiservices", name)
        if item is None:
            return  # deleted meanwhile
        ok = "True" if reason == "Passed" else "False"
        conditions = item.get("status", {}).get("conditions", ())
        old: Object = next((each for each in conditions if each["type"] == "Available"), {})
        if (old.get("status"), old.get("reason"), old.get("message")) == (ok, reason, message):
            return
        since = timestamp(time.time())
        condition = {
            "type": "Available",
            "status": ok,
            "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == ok else since,
            "reason": reason,
            "message": message,
        }
        item["status"] = {"conditions": [condition]}
        with contextlib.suppress(Conflict):
            self.cluster.apply("apiservices", item)


def available(item: Object) -> bool:
    """Return whether the last probe of an APIService succeeded."""
    conditions = item.get("status", {}).get("conditions", ())
    return any(each["type"] == "Available" and each["status"] == "True" for each in conditions)


def _problem(url: str, error: Exception) -> Exception:
    reason = str(error) or type(error).__name__
    return Exception(f"failing or missing response from {url}: {reason}")
