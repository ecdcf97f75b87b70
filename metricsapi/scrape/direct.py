"""Kubelets asked at their own addresses: one connection each, kept alive between turns."""

from __future__ import annotations

import time
from collections.abc import Callable

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.credentials import TokenFile
from metricsapi.scrape.certificate_errors import explain
from metricsapi.scrape.connection import Answer, Connection
from metricsapi.scrape.connector import Connector
from metricsapi.scrape.errors import Cause, ScrapeError
from metricsapi.scrape.targets import Target
from metricsapi.scrape.tls import KubeletTLS

Token = Callable[[], str | None]

_CERTIFICATE = frozenset(
    {
        Cause.CERTIFICATE_LACKS_ADDRESS,
        Cause.CERTIFICATE_SELF_SIGNED,
        Cause.CERTIFICATE_UNKNOWN_CA,
        Cause.CERTIFICATE_EXPIRED,
    }
)


class _Link:
    """What is remembered of one node: its connection, and how it was reached."""

    __slots__ = ("avoided", "by_node_name", "connection", "explained", "generation", "host")

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.host: str | None = None  # the address that answered last
        self.avoided: str | None = None  # the address that took a request and never answered
        self.by_node_name = False  # its certificate lacks the address but has the node's name
        self.generation = 0  # of the TLS context that the connection was verified with
        self.explained: ScrapeError | None = None  # the last trouble with the certificate


class DirectFetcher:
    """Asks kubelets themselves. `token` gives the bearer token of this moment, or None.

    Without `tls` it asks in plain text and shows no token.
    """

    right = ""  # nodes/stats or nodes/metrics, as the path asks

    def __init__(self, settings: KubeletSettings, tls: KubeletTLS | None, token: Token) -> None:
        self._tls = tls
        self._token = token
        self._connector = Connector(settings.max_response_bytes)
        self._links: dict[str, _Link] = {}

    async def get(self, target: Target, path: str, accept: str, deadline: float) -> Answer:
        """Give the kubelet's answer, whatever its status. Raises ScrapeError."""
        link = self._links.get(target.node)
        if link is None:
            link = self._links[target.node] = _Link()
        connection = self._kept(link)
        fresh = connection is None
        if connection is None:
            connection = await self._connect(target, link, deadline)
        try:
            answer = await connection.get(self._request(connection, path, accept), deadline)
        except ScrapeError as error:
            if error.cause is Cause.TIMEOUT:
                link.avoided, link.host = link.host, None
            if fresh or error.cause is not Cause.RESET:
                raise
            # The other side had closed it while it was idle: nobody's failure.
            connection = await self._connect(target, link, deadline)
            answer = await connection.get(self._request(connection, path, accept), deadline)
        if answer.status == 401 and isinstance(self._token, TokenFile):
            self._token.forget()
        return answer

    def drop(self, node: str) -> None:
        """Forget a node that is gone, or is elsewhere now, and close its connection."""
        link = self._links.pop(node, None)
        if link is not None and link.connection is not None:
            link.connection.close()

    def close(self) -> None:
        """Close every connection."""
        for node in list(self._links):
            self.drop(node)

    def address(self, node: str) -> str:
        """Give host:port of the node's connection; empty when there is none."""
        link = self._links.get(node)
        return link.connection.where if link and link.connection else ""

    def _kept(self, link: _Link) -> Connection | None:
        """Give the connection of the last turn, if it may be used again."""
        connection = link.connection
        if connection is None or not connection.usable:
            return None
        if self._tls is not None:
            self._tls.context(time.monotonic())
            if self._tls.generation != link.generation:
                connection.close()
                return None
        return connection

    async def _connect(self, target: Target, link: _Link, deadline: float) -> Connection:
        """Try the node's addresses in turn; the first one that works is remembered."""
        if not target.hosts:
            raise ScrapeError(
                Cause.NO_ADDRESS,
                f"node {target.node} has no address of the wanted types: add one that it has to "
                "--kubelet-preferred-address-types",
            )
        hosts = sorted(target.hosts, key=lambda h: (h != link.host, h == link.avoided))
        errors: list[ScrapeError] = []
        for tried, host in enumerate(hosts):
            now = time.monotonic()
            share = (deadline - now) / (len(hosts) - tried)
            try:
                connection = await self._connect_host(target, link, host, now + share)
            except ScrapeError as error:
                errors.append(error)
                continue
            old, link.connection = link.connection, connection
            if old is not None:
                old.close()
            link.host, link.avoided, link.explained = host, None, None
            return connection
        link.host = None
        raise _together(errors)

    async def _connect_host(
        self, target: Target, link: _Link, host: str, deadline: float
    ) -> Connection:
        """Connect, the certificate verified against the address or the node's name."""
        names = (target.node, host) if link.by_node_name else (host, target.node)
        try:
            return await self._open(target, link, host, names[0], deadline)
        except ScrapeError as error:
            if error.cause not in _CERTIFICATE:
                raise
            problem = error
        if problem.cause is Cause.CERTIFICATE_LACKS_ADDRESS and names[0] != names[1]:
            try:
                connection = await self._open(target, link, host, names[1], deadline)
            except ScrapeError as error:
                problem = error
            else:
                link.by_node_name = names[1] == target.node
                return connection
        if link.explained is None or link.explained.cause is not problem.cause:
            link.explained = await explain(problem, target.node, host, target.port, deadline)
        raise link.explained

    async def _open(
        self, target: Target, link: _Link, host: str, name: str, deadline: float
    ) -> Connection:
        context = None
        if self._tls is not None:
            context = self._tls.context(time.monotonic())
            link.generation = self._tls.generation
        return await self._connector.connect(
            host, target.port, context=context, server_name=name, deadline=deadline
        )

    def _request(self, connection: Connection, path: str, accept: str) -> bytes:
        try:
            token = self._token() if self._tls else None
        except OSError as error:
            raise ScrapeError(
                Cause.CREDENTIALS, f"cannot read the bearer token: {error}"
            ) from error
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        return (
            f"GET {path} HTTP/1.1\r\nHost: {connection.where}\r\nUser-Agent: metricsapi\r\n"
            f"Accept: {accept}\r\n{authorization}\r\n"
        ).encode()


def _together(errors: list[ScrapeError]) -> ScrapeError:
    """Make one error of those of all addresses; the cause is the most wanted address's."""
    first = errors[0]
    if len(errors) == 1:
        return first
    return ScrapeError(first.cause, "; ".join(dict.fromkeys(str(error) for error in errors)))
