"""One read of one node: a sample, or a failure that says why."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from metricsapi.collect.failure import Cause, Failure, ScrapeError
from metricsapi.collect.options import CollectSettings
from metricsapi.collect.targets import Target
from metricsapi.collect.tls import KubeletTLS
from metricsapi.collect.transport import Answer, Connection, Connector
from metricsapi.samples import NodeSample

SUMMARY = "/stats/summary?only_cpu_and_memory=true"

Token = Callable[[], str | None]


class Decode(Protocol):
    """Makes a sample of an answer's body; raises ValueError. `collect.summary.decode_summary`."""

    def __call__(
        self,
        node: str,
        body: bytes,
        *,
        requested_at: float,
        answered_at: float,
        wall_offset: float,
    ) -> NodeSample: ...


class KubeletClient:
    """Reads nodes over one kept-alive connection each.

    `token` gives the bearer token of this moment, or None; `now` arguments and deadlines are
    monotonic seconds, as of the event loop's clock.
    """

    def __init__(
        self, settings: CollectSettings, tls: KubeletTLS | None, token: Token, decode: Decode
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._token = token
        self._connector = Connector(settings.max_answer)
        self._decode_summary = decode
        self._connections: dict[str, Connection] = {}
        self._names: dict[str, str] = {}  # what the certificate of a node was verified against

    async def scrape(self, target: Target, deadline: float) -> NodeSample | Failure:
        """Read a node once, trying its addresses in order and retrying once."""
        try:
            try:
                answer = await self._attempt(target, deadline)
            except ScrapeError as error:
                if error.cause not in _WORTH_A_RETRY:
                    raise
                answer = await self._attempt(target, deadline)
            return self._decode(target, answer)
        except ScrapeError as error:
            self.drop(target.node)
            return error.failure

    def drop(self, node: str) -> None:
        """Close the connection of a node that failed or is gone."""
        if connection := self._connections.pop(node, None):
            connection.close()

    def close(self) -> None:
        """Close every connection."""
        for node in list(self._connections):
            self.drop(node)

    async def _attempt(self, target: Target, deadline: float) -> Answer:
        connection = self._connections.get(target.node)
        if connection is None or not connection.usable:
            connection = await self._connect(target, deadline)
            self._connections[target.node] = connection
        answer = await connection.get(self._request(target), deadline)
        if answer.status != 200:
            raise _refused(answer, connection.where)
        return answer

    async def _connect(self, target: Target, deadline: float) -> Connection:
        if not target.hosts:
            raise ScrapeError(
                Cause.NO_ADDRESS,
                f"node {target.node} has no address of --kubelet-preferred-address-types",
            )
        errors = []
        for tried, host in enumerate(target.hosts):
            now = time.monotonic()
            share = (deadline - now) / (len(target.hosts) - tried)
            try:
                return await self._connect_host(target, host, now + share)
            except ScrapeError as error:
                errors.append(error)
        raise errors[0]

    async def _connect_host(self, target: Target, host: str, deadline: float) -> Connection:
        try:
            return await self._open(target, host, self._names.get(target.node, host), deadline)
        except ScrapeError as error:
            if error.cause is not Cause.CERTIFICATE_LACKS_ADDRESS:
                raise
            other = host if target.node in self._names else target.node
            self._names.pop(target.node, None)
            connection = await self._open(target, host, other, deadline)
            if other == target.node:
                self._names[target.node] = other
            return connection

    async def _open(self, target: Target, host: str, name: str, deadline: float) -> Connection:
        return await self._connector.connect(
            host,
            target.port,
            context=self._tls.context(time.monotonic()) if self._tls else None,
            server_name=name,
            deadline=deadline,
        )

    def _request(self, target: Target) -> bytes:
        host = target.hosts[0]
        lines = [
            f"GET {SUMMARY} HTTP/1.1",
            f"Host: [{host}]:{target.port}" if ":" in host else f"Host: {host}:{target.port}",
            "User-Agent: metricsapi",
            "Accept: application/json",
        ]
        try:
            token = self._token() if self._tls else None
        except OSError as error:
            raise ScrapeError(
                Cause.CREDENTIALS, f"cannot read the bearer token: {error}"
            ) from error
        if token:
            lines.append(f"Authorization: Bearer {token}")
        return "\r\n".join([*lines, "", ""]).encode()

    def _decode(self, target: Target, answer: Answer) -> NodeSample:
        try:
            return self._decode_summary(
                target.node,
                answer.body,
                requested_at=answer.requested_at,
                answered_at=answer.answered_at,
                wall_offset=time.time() - time.monotonic(),
            )
        except ValueError as error:
            raise ScrapeError(Cause.DECODE, f"node {target.node}: {error}") from error


_WORTH_A_RETRY = frozenset(
    {Cause.RESET, Cause.TRUNCATED, Cause.NOT_HTTP, Cause.REFUSED, Cause.STATUS, Cause.UNREACHABLE}
)


def _refused(answer: Answer, where: str) -> ScrapeError:
    said = answer.body[:300].decode("utf-8", "replace").strip()
    cause = {401: Cause.UNAUTHORIZED, 403: Cause.FORBIDDEN, 404: Cause.NOT_FOUND}.get(
        answer.status, Cause.STATUS
    )
    return ScrapeError(cause, f"{where} answered {answer.status}: {said}")
