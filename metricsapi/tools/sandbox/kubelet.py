"""Stand-in kubelets: the Summary API and `/metrics/resource` over TLS, for bearer tokens."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Protocol, cast

from metricsapi.tools.sandbox.delivery import Delivery
from metricsapi.tools.sandbox.faults import BODY_FAULTS, STATUS, Fault, clock, enlarge, spoil
from metricsapi.tools.sandbox.serving import Certificates
from metricsapi.tools.sandbox.tls_records import Listener

TEXT = "text/plain; charset=utf-8"
Decide = Callable[[str, str], int]  # (token, subresource) -> 200, 401 or 403
SLOW_SECONDS = 3.0


class Source(Protocol):
    """What one kubelet reports; `now` is its own clock in epoch seconds."""

    name: str

    def summary(self, now: float, *, full: bool = False) -> bytes: ...
    def exposition(self, now: float) -> bytes: ...


class Kubelet:
    """One kubelet on one address. `fault` may be changed at any time.

    It responds after `latency` seconds, half as much or one and a half times as much: that is how
    far apart a real kubelet's responses were.
    """

    def __init__(
        self,
        source: Source,
        address: str,
        decide: Decide,
        certificates: Certificates,
        latency: float = 0.0,
    ) -> None:
        self.source = source
        self.address = address
        self.fault = Fault.NONE
        self.slow_seconds = SLOW_SECONDS  # the delay of the fault `slow`
        self.requests = 0
        self._decide = decide
        self._certificates = certificates
        self._latency = latency
        self._listener: Listener | None = None
        self.port = 0
        self.connections: set[KubeletConnection] = set()

    async def start(self, port: int = 0) -> int:
        """Listen; return the port. Raises OSError when it is taken."""
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self.address, port))
        except OSError:
            listening.close()
            raise
        self.port = int(listening.getsockname()[1])
        context = self._certificates.context(self.source.name, self.address, self.fault)
        self._listener = Listener(listening, context, lambda: KubeletConnection(self))
        return self.port

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in list(self.connections):
            connection.abort()

    async def set_fault(self, fault: Fault) -> None:
        """Misbehave from now on. What concerns listening or certificates breaks connections."""
        before, self.fault = self.fault, fault
        anew = [f for f in (before, fault) if f is Fault.REFUSE or f.value.startswith("cert-")]
        if anew:
            await self.stop()
            if fault is not Fault.REFUSE:
                await self.start(self.port)

    def latency(self) -> float:
        """Return after how many seconds the next response begins."""
        if self.fault is Fault.SLOW:
            return self.slow_seconds
        return self._latency * random.uniform(0.5, 1.5)

    def response(self, method: str, target: str, token: str) -> tuple[str, str, bytes]:
        """Return status line, content type and body of a response."""
        path, _, query = target.partition("?")
        self.requests += 1
        if self.fault in STATUS:
            line, body = STATUS[self.fault]
            return line, TEXT, body
        subresource = "stats" if path.startswith("/stats") else "metrics"
        decision = self._decide(token, subresource)
        if decision == 401:
            return "401 Unauthorized", TEXT, b"Unauthorized"
        if decision == 403:
            denied = f"Forbidden (verb=get, resource=nodes, subresource(s)=[{subresource}])\n"
            return "403 Forbidden", TEXT, denied.encode()
        if method != "GET":
            return "405 Method Not Allowed", TEXT, b"405: Method Not Allowed"
        now = clock(self.fault, time.time())
        if path == "/stats/summary":
            body = self.source.summary(now, full="only_cpu_and_memory=true" not in query)
            if self.fault in BODY_FAULTS:
                body = spoil(self.fault, body)
            elif self.fault is Fault.HUGE:
                body = enlarge(body)
            return "200 OK", "application/json", body
        if path == "/metrics/resource":
            return "200 OK", "text/plain; version=0.0.4", self.source.exposition(now)
        return "404 Not Found", TEXT, b"404 page not found\n"


class KubeletConnection(asyncio.Protocol):
    """One kept-alive connection to a kubelet."""

    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet
        self._rest = b""
        self._delivery: Delivery | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._delivery = Delivery(cast("asyncio.Transport", transport))
        self._kubelet.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._kubelet.connections.discard(self)

    def pause_writing(self) -> None:
        if self._delivery is not None:
            self._delivery.paused = True

    def resume_writing(self) -> None:
        if self._delivery is not None:
            self._delivery.paused = False

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while b"\r\n\r\n" in self._rest:
            head, _, self._rest = self._rest.partition(b"\r\n\r\n")
            self._request(head.decode("latin-1"))

    def abort(self) -> None:
        if self._delivery is not None:
            self._delivery.transport.abort()

    def _request(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        with contextlib.suppress(ValueError):
            method, target, _ = first.split(" ", 2)
            pairs = (line.partition(":") for line in lines)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            token = headers.get("authorization", "").removeprefix("Bearer ")
            latency = self._kubelet.latency()
            if latency:
                loop = asyncio.get_running_loop()
                loop.call_later(latency, self._respond, method, target, token)
            else:
                self._respond(method, target, token)
            return
        self.abort()

    def _respond(self, method: str, target: str, token: str) -> None:
        fault, delivery = self._kubelet.fault, self._delivery
        if delivery is None or delivery.transport.is_closing() or fault is Fault.HANG:
            return
        if fault is Fault.RESET:
            self.abort()
        elif fault is Fault.NOT_HTTP:
            delivery.transport.write(bytes(range(256)) * 8)
        else:
            line, kind, body = self._kubelet.response(method, target, token)
            date = _date(int(clock(fault, time.time())))
            head = f"HTTP/1.1 {line}\r\nContent-Type: {kind}\r\nDate: {date}\r\n"
            delivery.send(head, body, fault)


@functools.lru_cache(maxsize=64)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
