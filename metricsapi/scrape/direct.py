"""Scrapes kubelets at their own addresses, over one connection per node, kept between scrapes."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.errors import CredentialsError
from metricsapi.kube.files import FollowedFiles
from metricsapi.kube.identity import Identity
from metricsapi.kube.tls import ClientTLS
from metricsapi.scrape.certificate_errors import explain
from metricsapi.scrape.connect import connect
from metricsapi.scrape.connection import Connection, Shared
from metricsapi.scrape.errors import CERTIFICATE_CAUSES, Cause, ScrapeError
from metricsapi.scrape.http_response import Response
from metricsapi.scrape.large_responses import LARGE
from metricsapi.scrape.pacing import Pace
from metricsapi.scrape.targets import Target


class _Route:
    """How one node was reached: its connection, and what to try first next time."""

    __slots__ = (
        "by_node_name", "connection", "explained", "generation", "good", "silent", "size",
    )  # fmt: skip

    def __init__(self, size: int) -> None:
        self.connection: Connection | None = None
        self.good: str | None = None  # the address that answered last
        self.silent: str | None = None  # the address that took a request and never answered
        self.size = size  # bytes that are expected: those of its last response, up to LARGE
        self.by_node_name = False  # its certificate names the node and not the address
        self.generation = 0  # of the TLS context that the connection was verified with
        self.explained: ScrapeError | None = None  # the last error of its certificate


class DirectFetcher:
    """Sends requests to kubelets, with the token of `identity`.

    Without `tls` it uses plain HTTP and sends no token.
    """

    permission = ""  # nodes/stats or nodes/metrics, as the path needs

    def __init__(
        self, settings: KubeletSettings, tls: ClientTLS | None, identity: Identity
    ) -> None:
        self._tls = tls
        self._identity = identity
        self._shared = Shared(settings.max_response_bytes)
        self._pace = Pace()
        self._newest_size = 0  # bytes of the newest response: what is expected of a new node
        self._routes: dict[str, _Route] = {}

    async def get(self, target: Target, path: str, accept: str, deadline: float) -> Response:
        """Return the kubelet's response, whatever its status. Raises ScrapeError."""
        route = self._routes.get(target.node)
        if route is None:
            route = self._routes[target.node] = _Route(self._newest_size)
        await self._refresh()
        connection = self._kept(route)
        if connection is None:
            connection = await self._connect(target, route, deadline)
        now, expected = time.monotonic(), route.size
        if delay := self._pace.delay(expected, now):
            await asyncio.sleep(min(delay, max(0.0, deadline - now)))
        try:
            response = await connection.get(self._request(connection, path, accept), deadline)
        except ScrapeError as error:
            if error.cause is Cause.TIMEOUT:
                route.silent, route.good = route.good, None
            raise
        # A larger response is read no further until it has one of few places.
        route.size = self._newest_size = min(len(response.body), LARGE)
        self._pace.correct(route.size - expected, time.monotonic())
        if response.status == 401:
            self._identity.rejected()
        return response

    @property
    def files(self) -> list[FollowedFiles[Any]]:
        """The files of the TLS context and of the token."""
        return [*(self._tls.files if self._tls else ()), *self._identity.files]

    def drop(self, node: str) -> None:
        """Forget a node that is gone or has moved, and close its connection."""
        route = self._routes.pop(node, None)
        if route is not None and route.connection is not None:
            route.connection.close()

    def close(self) -> None:
        """Close every connection."""
        for node in list(self._routes):
            self.drop(node)

    def address(self, node: str) -> str:
        """Return host:port of the node's connection; empty when there is none."""
        route = self._routes.get(node)
        return route.connection.where if route and route.connection else ""

    async def _refresh(self) -> None:
        """Renew credentials that have expired, as those of an exec plugin do."""
        try:
            await self._identity.refresh()
        except CredentialsError as error:
            raise ScrapeError(Cause.CREDENTIALS, str(error)) from error

    def _kept(self, route: _Route) -> Connection | None:
        """Return the connection of the last scrape, if it may be used again."""
        connection = route.connection
        if connection is None or not connection.usable:
            return None
        if self._tls is not None:
            self._tls.context()
            if self._tls.generation != route.generation:
                connection.close()
                return None
        return connection

    async def _connect(self, target: Target, route: _Route, deadline: float) -> Connection:
        """Try the node's addresses one after the other; the first that works is tried first later.

        Each may take an equal share of the time that remains.
        """
        if not target.hosts:
            raise ScrapeError(
                Cause.NO_ADDRESS, f"node {target.node} has no address of the preferred types"
            )
        hosts = sorted(target.hosts, key=lambda h: (h != route.good, h == route.silent))
        errors: list[ScrapeError] = []
        for tried, host in enumerate(hosts):
            now = time.monotonic()
            share = (deadline - now) / (len(hosts) - tried)
            try:
                connection = await self._connect_host(target, route, host, now + share)
            except ScrapeError as error:
                errors.append(error)
                continue
            old, route.connection = route.connection, connection
            if old is not None:
                old.close()
            route.good, route.silent, route.explained = host, None, None
            return connection
        route.good = None
        raise _joined(errors)

    async def _connect_host(
        self, target: Target, route: _Route, host: str, deadline: float
    ) -> Connection:
        """Connect; the certificate has to name the address or the node."""
        names = (target.node, host) if route.by_node_name else (host, target.node)
        try:
            return await self._open(target, route, host, names[0], deadline)
        except ScrapeError as error:
            if error.cause not in CERTIFICATE_CAUSES:
                raise
            problem = error
        if problem.cause is Cause.CERTIFICATE_LACKS_ADDRESS and names[0] != names[1]:
            try:
                connection = await self._open(target, route, host, names[1], deadline)
            except ScrapeError as error:
                if error.cause in CERTIFICATE_CAUSES:
                    problem = error
            else:
                route.by_node_name = names[1] == target.node
                return connection
        if route.explained is None or route.explained.cause is not problem.cause:
            route.explained = await explain(problem, target.node, host, target.port, deadline)
        raise route.explained

    async def _open(
        self, target: Target, route: _Route, host: str, name: str, deadline: float
    ) -> Connection:
        context: ssl.SSLContext | None = None
        if self._tls is not None:
            context = self._tls.context()
            route.generation = self._tls.generation
        return await connect(
            host,
            target.port,
            shared=self._shared,
            context=context,
            server_name=name,
            deadline=deadline,
        )

    def _request(self, connection: Connection, path: str, accept: str) -> bytes:
        token = self._identity.token() if self._tls else None
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        return (
            f"GET {path} HTTP/1.1\r\nHost: {connection.where}\r\nUser-Agent: metricsapi\r\n"
            f"Accept: {accept}\r\n{authorization}\r\n"
        ).encode()


def _joined(errors: list[ScrapeError]) -> ScrapeError:
    """Make one error of those of all addresses; its cause is the most preferred address's."""
    first = errors[0]
    if len(errors) == 1:
        return first
    return ScrapeError(first.cause, "; ".join(dict.fromkeys(str(error) for error in errors)))
