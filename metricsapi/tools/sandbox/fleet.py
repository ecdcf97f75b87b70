"""Synthetic kubelets in a process of their own, so that their cost can be measured apart.

The parent writes one line of JSON, the configuration, to the child's standard input; the child
writes one line, the address and port of every node. Each further line is a change: the fault of a
node, pods that replace others, a node that joins or leaves. The child responds with one line, which
is empty but for a node that joins. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from metricsapi.tools.sandbox.faults import Fault
from metricsapi.tools.sandbox.kubelet import Decide
from metricsapi.tools.sandbox.kubelets import Kubelets, loopback
from metricsapi.tools.sandbox.pki import Authority
from metricsapi.tools.sandbox.processes import start_child
from metricsapi.tools.sandbox.serving import Certificates
from metricsapi.tools.sandbox.synthetic import synthetic_node
from metricsapi.tools.sandbox.template import SyntheticSource


@dataclass(frozen=True)
class Plan:
    """What to serve: nodes `first` to `first + nodes - 1`.

    `tokens` has the subresources that each bearer token may get ("stats", "metrics");
    `changing` makes usage swing, else it is constant; `swap` is the part of nodes with swap.
    """

    nodes: int
    pods: int
    containers: int
    namespaces: int
    tokens: dict[str, list[str]]
    first: int = 0
    changing: bool = False
    swap_every: int = 0  # each so many-th node has swap; none at 0
    step: float = 0.0  # seconds after which usage steps up or down; it does not at 0
    latency: float = 0.0  # seconds until a response begins, in the mean


_OPENSSL = Path(__file__).with_name("kubelet-openssl.cnf")
Address = tuple[str, int]
Addresses = dict[str, Address]
Replacement = tuple[str, str, str]  # a node, a pod that it has, and one that takes its place


class Fleet:
    """The parent's side: start the process, switch faults, end it."""

    def __init__(self, plan: Plan, authority: Authority) -> None:
        self._plan = plan
        self._authority = authority
        self._process: asyncio.subprocess.Process | None = None
        self._asking = asyncio.Lock()

    async def start(self) -> Addresses:
        """Start it; return every node's address and port, by node name."""
        pipe = asyncio.subprocess.PIPE
        self._process = await start_child(
            sys.executable,
            "-m",
            "metricsapi.tools.sandbox.fleet",
            stdin=pipe,
            stdout=pipe,
            limit=2**24,
            env={**os.environ, "OPENSSL_CONF": str(_OPENSSL)},
        )
        configuration = {
            **asdict(self._plan),
            "certificate": self._authority.pem.decode(),
            "key": self._authority.key.decode(),
        }
        places: dict[str, list[Any]] = json.loads(await self._request(configuration))
        return {name: (address, port) for name, (address, port) in places.items()}

    async def set_fault(self, name: str, fault: Fault) -> None:
        """Make one kubelet misbehave from now on."""
        await self._request({"node": name, "fault": fault})

    async def replace(self, pods: Sequence[Replacement]) -> None:
        """Replace pods that nodes list by others."""
        await self._request({"replace": pods})

    async def join(self, i: int) -> tuple[str, Address]:
        """Start the kubelet of node `i`; return its name, and where it is."""
        name, (address, port) = json.loads(await self._request({"join": i}))
        return name, (address, port)

    async def leave(self, name: str) -> None:
        """End the kubelet of a node."""
        await self._request({"leave": name})

    async def stop(self) -> None:
        """End the process."""
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5.0)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def _request(self, message: dict[str, Any]) -> bytes:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("the kubelets' process is not running")
        async with self._asking:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError("the kubelets' process has ended; its error is above")
        return line


async def _serve() -> None:
    """The child's side."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    configuration = json.loads(await reader.readline())
    certificate, key = (configuration.pop(name).encode() for name in ("certificate", "key"))
    authority = Authority.load(certificate, key)
    child = _Child(Plan(**configuration), authority)
    _write_line(json.dumps(await child.start()))
    while line := await reader.readline():
        _write_line(await child.change(json.loads(line)))
    await child.stop()


class _Child:
    """The kubelets of a plan, in this process."""

    def __init__(self, plan: Plan, authority: Authority) -> None:
        self._plan = plan
        self._numbers = range(plan.first, plan.first + plan.nodes)
        certificates = Certificates(authority, [(f"node-{i}", loopback(i)) for i in self._numbers])
        self._kubelets = Kubelets(certificates, by_tokens(plan.tokens), plan.latency)
        self._sources: dict[str, SyntheticSource] = {}
        self._started = time.time() - 3600.0

    async def start(self) -> Addresses:
        """Start them all."""
        return dict([await self._join(i) for i in self._numbers])

    async def stop(self) -> None:
        """End them all."""
        await self._kubelets.stop()

    async def change(self, change: dict[str, Any]) -> str:
        """Apply a change of the parent; return the line to respond with."""
        if "replace" in change:
            for node, old, new in change["replace"]:
                self._sources[node].replace(old, new)
        elif "join" in change:
            return json.dumps(await self._join(change["join"]))
        elif "leave" in change:
            del self._sources[change["leave"]]
            await self._kubelets.end(change["leave"])
        else:
            await self._kubelets.set_fault(change["node"], Fault(change["fault"]))
        return ""

    async def _join(self, i: int) -> tuple[str, Address]:
        plan = self._plan
        source = SyntheticSource(
            synthetic_node(i, plan.pods, plan.containers, plan.namespaces),
            self._started,
            changing=plan.changing,
            swap=bool(plan.swap_every) and i % plan.swap_every == 0,
            step=plan.step,
        )
        self._sources[source.name] = source
        kubelet = await self._kubelets.start(source, loopback(i))
        return source.name, (kubelet.address, kubelet.port)


def by_tokens(tokens: dict[str, list[str]]) -> Decide:
    """Decide by a fixed table: 401 for an unknown token, 403 for what is not in its list."""

    def decide(token: str, subresource: str) -> int:
        if token not in tokens:
            return 401
        return 200 if subresource in tokens[token] else 403

    return decide


def _write_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until standard input ends. Every kubelet takes two files: make room for them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve())


if __name__ == "__main__":
    main()
