"""Stand-in kubelets: the Summary API and `/metrics/resource` over TLS, for bearer tokens."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from metricsapi.sandbox.host import Host
from metricsapi.sandbox.pki import Authority
from metricsapi.sandbox.state import timestamp
from metricsapi.sandbox.synthetic import SyntheticNode

Stat = tuple[str, float, float, int, int, int]  # name, start, time, rate, counter, memory


class Source(Protocol):
    """What one kubelet tells: its own stat, and its pods' as (namespace, name, uid, stats)."""

    name: str

    def node(self, now: float) -> Stat: ...
    def pods(self, now: float) -> list[tuple[str, str, str, list[Stat]]]: ...


class HostSource:
    """This machine; container stats are read while the request is served."""

    def __init__(self, host: Host, namespace: str = "host") -> None:
        self.name = host.name
        self.namespace = namespace
        self.host = host

    def node(self, now: float) -> Stat:
        host = self.host
        host.read(now)
        return (host.name, host.started, now, host.rate, host.counter, host.memory)

    def pods(self, now: float) -> list[tuple[str, str, str, list[Stat]]]:
        return [
            (
                self.namespace,
                pod.name,
                f"{pid}-{int(started)}",
                [(pod.container, started, now, pod.rate, pod.counter, pod.memory)],
            )
            for (pid, started), pod in self.host.pods.items()
        ]


class SyntheticSource:
    """A synthetic node; its counters grow at its known rates from `started` on."""

    def __init__(self, node: SyntheticNode, started: float) -> None:
        self.name = node.name
        self.node_ = node
        self.started = started

    def node(self, now: float) -> Stat:
        node = self.node_
        counter = round((now - self.started) * node.cpu)
        return (node.name, self.started, now, node.cpu, counter, node.memory)

    def pods(self, now: float) -> list[tuple[str, str, str, list[Stat]]]:
        age = now - self.started
        return [
            (
                pod.namespace,
                pod.name,
                f"uid-{pod.name}",
                [
                    (name, self.started, now, cpu, round(age * cpu), memory)
                    for name, cpu, memory in pod.containers
                ],
            )
            for pod in self.node_.pods
        ]


class Kubelets:
    """Many kubelets on loopback, one port each."""

    def __init__(self, authority: Authority, decide: Callable[[str, str], int]) -> None:
        self._decide = decide
        self._servers: list[asyncio.Server] = []
        issued = authority.issue("kubelet", dns=("localhost",), ips=("127.0.0.1",), server=True)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "pair.pem")
            path.write_bytes(issued.pem)
            self._context.load_cert_chain(path)

    async def start(self, source: Source) -> int:
        """Serve one kubelet on a free port; give the port."""
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.bind(("127.0.0.1", 0))

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
            return self._serve(source, reader, writer)

        server = await asyncio.start_server(connected, sock=listening, ssl=self._context)
        self._servers.append(server)
        return int(listening.getsockname()[1])

    async def stop(self) -> None:
        for server in self._servers:
            server.close()

    async def _serve(
        self, source: Source, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ", 2)
                headers = {
                    name.strip().lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in head[1:] if line)
                }
                code, kind, body = self._answer(source, method, target, headers)
                writer.write(
                    f"HTTP/1.1 {code}\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            return
        finally:
            writer.close()

    def _answer(
        self, source: Source, method: str, target: str, headers: dict[str, str]
    ) -> tuple[str, str, bytes]:
        text = "text/plain; charset=utf-8"
        token = headers.get("authorization", "").removeprefix("Bearer ")
        path = target.partition("?")[0]
        subresource = "stats" if path.startswith("/stats") else "metrics"
        decision = self._decide(token, subresource)
        if decision == 401:
            return "401 Unauthorized", text, b"Unauthorized"
        if decision == 403:
            denied = f"Forbidden (verb=get, resource=nodes, subresource(s)=[{subresource}])\n"
            return "403 Forbidden", text, denied.encode()
        if method != "GET":
            return "405 Method Not Allowed", text, b"405: Method Not Allowed"
        if path == "/stats/summary":
            return "200 OK", "application/json", summary(source, time.time())
        if path == "/metrics/resource":
            return "200 OK", text, exposition(source, time.time())
        return "404 Not Found", text, b"404 page not found\n"


def summary(source: Source, now: float) -> bytes:
    """Give the Summary: whole-second times, JSON indented by one space, as the kubelet writes."""
    name, start, at, rate, counter, memory = source.node(now)
    body = {
        "node": {"nodeName": name, "startTime": timestamp(start)}
        | _stat(at, rate, counter, memory),
        "pods": [
            {
                "podRef": {"name": pod, "namespace": namespace, "uid": uid},
                "startTime": timestamp(min(stat[1] for stat in stats)),
                "containers": [
                    {"name": stat[0], "startTime": timestamp(stat[1])} | _stat(*stat[2:])
                    for stat in stats
                ],
            }
            for namespace, pod, uid, stats in source.pods(now)
        ],
    }
    return json.dumps(body, indent=1).encode()


def _stat(at: float, rate: int, counter: int, memory: int) -> dict[str, Any]:
    when = timestamp(at)
    return {
        "cpu": {"time": when, "usageNanoCores": rate, "usageCoreNanoSeconds": counter},
        "memory": {"time": when, "workingSetBytes": memory},
    }


def exposition(source: Source, now: float) -> bytes:
    """Give `/metrics/resource`: seconds and bytes, each with its time in milliseconds."""
    _, _, at, _, counter, memory = source.node(now)
    lines = [
        "# TYPE node_cpu_usage_seconds_total counter",
        f"node_cpu_usage_seconds_total {counter / 1e9!r} {int(at * 1000)}",
        "# TYPE node_memory_working_set_bytes gauge",
        f"node_memory_working_set_bytes {memory} {int(at * 1000)}",
        "# TYPE container_cpu_usage_seconds_total counter",
    ]
    gauges = ["# TYPE container_memory_working_set_bytes gauge"]
    for namespace, pod, _, stats in source.pods(now):
        for name, _, at, _, counter, memory in stats:
            labels = f'{{container="{name}",namespace="{namespace}",pod="{pod}"}}'
            when = int(at * 1000)
            lines.append(f"container_cpu_usage_seconds_total{labels} {counter / 1e9!r} {when}")
            gauges.append(f"container_memory_working_set_bytes{labels} {memory} {when}")
    return "\n".join([*lines, *gauges, ""]).encode()
