"""`metricsapi sandbox`: an embedded cluster on this machine, and the server in it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from metricsapi.sandbox.apiserver import ADMIN, ApiServer
from metricsapi.sandbox.host import Host
from metricsapi.sandbox.kubelet import HostSource, Kubelets, SyntheticSource
from metricsapi.sandbox.objects import (
    NAMESPACE,
    SERVER,
    SERVICE,
    follow_host,
    host_node,
    install,
    pod_object,
    synthetic_node_object,
)
from metricsapi.sandbox.rbac import Attributes, allowed
from metricsapi.sandbox.report import commands, count, print_tables, reader
from metricsapi.sandbox.state import Cluster
from metricsapi.sandbox.synthetic import synthetic_node

USUAL_PORT = 6443
READY_WITHIN = 60.0  # seconds


class SandboxError(Exception):
    """The sandbox cannot start or go on; the message says why."""


def main(argv: Sequence[str]) -> int:
    """Run the sandbox until Ctrl-C or SIGTERM; give the exit status."""
    options = _parser().parse_args(argv)
    try:
        return asyncio.run(_run(options))
    except SandboxError as error:
        print(f"metricsapi sandbox: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="metricsapi sandbox", description=__doc__)
    parser.add_argument("--nodes", type=int, default=0, help="synthetic nodes beside this machine")
    parser.add_argument("--pods", type=int, default=10, help="pods on each synthetic node")
    parser.add_argument("--containers", type=int, default=2, help="containers in each of them")
    parser.add_argument("--port", type=int, help="the API server's port (6443, or a free one)")
    parser.add_argument("--state-dir", type=Path, default=Path(".state"), help="where files go")
    parser.add_argument("--metric-resolution", default="15s", help="passed to the server")
    parser.add_argument("--no-host", action="store_true", help="leave this machine out")
    parser.add_argument("--once", action="store_true", help="end after the tables are printed")
    return parser


async def _run(options: argparse.Namespace) -> int:
    began = time.monotonic()
    leaving = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, leaving.set)
    async with contextlib.AsyncExitStack() as stack:
        _say("Starting the embedded cluster (API server, kubelets)")
        api = await _cluster(options, stack)
        _say(f"API server at {api.url}; starting the server")
        process = await _server(options, api, stack)
        died = asyncio.create_task(process.wait())
        client = await stack.enter_async_context(
            reader(api.url, api.ca.pem, api.add_user(ADMIN, ("system:masters",)))
        )
        await _ready(api, client, process, leaving, options)
        if not leaving.is_set():
            _say(f"First usage after {time.monotonic() - began:.1f} s, read through the API:\n")
            await print_tables(client)
            kubeconfig = (options.state_dir / "kubeconfig").resolve()
            print(commands(api.cluster, kubeconfig), flush=True)
        if not options.once:
            told = asyncio.create_task(leaving.wait())
            await asyncio.wait((told, died), return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
        if died.done() and not leaving.is_set():
            raise SandboxError(_death(options, process))
        _say("Stopping")
    return 0


async def _cluster(options: argparse.Namespace, stack: contextlib.AsyncExitStack) -> ApiServer:
    """Start API server and kubelets; write the kubeconfigs."""
    cluster, host = Cluster(), Host()
    api = ApiServer(cluster)
    await _listen(api, options.port)
    stack.push_async_callback(api.stop)
    kubelets = Kubelets(api.ca, _kubelet_authorizer(api))
    stack.push_async_callback(kubelets.stop)
    names = [host.name] * (not options.no_host)
    for i in range(options.nodes):
        node = synthetic_node(i, options.pods, options.containers)
        port = await kubelets.start(SyntheticSource(node, time.time() - 3600))
        cluster.apply("nodes", synthetic_node_object(node, port, host))
        for pod in node.pods:
            containers = [name for name, _, _ in pod.containers]
            cluster.apply(
                "pods", pod_object(pod.namespace, pod.name, node.name, containers, pod.labels)
            )
        names.append(node.name)
    if not options.no_host:
        source = HostSource(host)
        cluster.apply("nodes", host_node(host, await kubelets.start(source)))
        following = asyncio.create_task(_follow(cluster, host, source.namespace))
        stack.callback(following.cancel)
    for namespace in sorted({i["metadata"]["namespace"] for i in cluster.list("pods")} | {"host"}):
        cluster.apply("namespaces", {"metadata": {"name": namespace}})
    cluster.apply("namespaces", {"metadata": {"name": NAMESPACE}})
    install(cluster, next(iter(names), host.name))
    options.state_dir.mkdir(parents=True, exist_ok=True)
    files = {"kubeconfig": (ADMIN, ("system:masters",)), "server.kubeconfig": (SERVER, ())}
    for name, (user, groups) in files.items():
        path = options.state_dir / name
        path.touch(mode=0o600)
        path.write_text(api.kubeconfig(user, groups))
    (options.state_dir / "ca.crt").write_bytes(api.ca.pem)
    return api


def _kubelet_authorizer(api: ApiServer) -> Callable[[str, str], int]:
    """Give what a kubelet does with a token: 200, 401, or 403 by the cluster's own rules."""

    def decide(token: str, subresource: str) -> int:
        user = api.tokens.get(token)
        if user is None:
            return 401
        asked = Attributes("get", "", "nodes", subresource)
        return 200 if allowed(api.cluster, user, asked) else 403

    return decide


async def _listen(api: ApiServer, port: int | None) -> None:
    try:
        await api.start(port=USUAL_PORT if port is None else port)
    except OSError as error:
        if port is not None:
            raise SandboxError(f"cannot listen on port {port}: {error.strerror}") from error
        await api.start(port=0)


async def _follow(cluster: Cluster, host: Host, namespace: str) -> None:
    """Keep the host's pods current: first often, until there is a rate, then now and then."""
    while True:
        host.read(time.time())
        follow_host(cluster, host, namespace)
        await asyncio.sleep(2.0)


async def _server(
    options: argparse.Namespace, api: ApiServer, stack: contextlib.AsyncExitStack
) -> asyncio.subprocess.Process:
    """Start the server as a process of its own, with flags that a Deployment could hold."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kubeconfig = options.state_dir / "server.kubeconfig"
    command = [
        sys.executable,
        "-m",
        "metricsapi",
        "serve",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        f"--cert-dir={options.state_dir / 'certificates'}",
        f"--metric-resolution={options.metric_resolution}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={options.state_dir / 'ca.crt'}",
        "--kubelet-use-node-status-port",
    ]
    with (options.state_dir / "server.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )

    async def end() -> None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()

    stack.push_async_callback(end)
    api.aggregator.endpoints[NAMESPACE, SERVICE] = [("127.0.0.1", port)]
    return process


async def _ready(
    api: ApiServer,
    client: httpx.AsyncClient,
    process: asyncio.subprocess.Process,
    leaving: asyncio.Event,
    options: argparse.Namespace,
) -> None:
    """Wait until the APIService is available and every node's usage is there."""
    deadline = time.monotonic() + READY_WITHIN
    wanted = len(api.cluster.list("nodes"))
    while not leaving.is_set():
        if process.returncode is not None:
            raise SandboxError(_death(options, process))
        if await count(client, "nodes") >= wanted and await count(client, "pods") > 0:
            return
        if time.monotonic() > deadline:
            raise SandboxError(f"no usage within {READY_WITHIN:g} s\n{_log_end(options)}")
        await asyncio.sleep(0.1)


def _death(options: argparse.Namespace, process: asyncio.subprocess.Process) -> str:
    return f"the server ended with exit status {process.returncode}:\n{_log_end(options)}"


def _log_end(options: argparse.Namespace) -> str:
    lines = (options.state_dir / "server.log").read_text(errors="replace").splitlines()
    return "\n".join(["its last log lines:", *lines[-15:]])


def _say(text: str) -> None:
    print(text, flush=True)
