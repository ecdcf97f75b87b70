"""`metricsapi sandbox`: an embedded cluster on this machine, and the server in it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence

import httpx

from metricsapi.tools.sandbox.arguments import arguments, size_of
from metricsapi.tools.sandbox.credentials import admin_client
from metricsapi.tools.sandbox.directory import owned
from metricsapi.tools.sandbox.embedded import Embedded, SandboxError
from metricsapi.tools.sandbox.kubeapiserver import AssetsError
from metricsapi.tools.sandbox.mirror import MirrorError
from metricsapi.tools.sandbox.objects import NAMESPACE, SERVICE
from metricsapi.tools.sandbox.report import commands, count, print_tables
from metricsapi.tools.sandbox.serverprocess import ServerProcess
from metricsapi.tools.sandbox.statuspage import status_page
from metricsapi.tools.sandbox.users import ADMIN

READY_WITHIN = 60.0  # seconds, and 30 more for every 1,000 nodes


def main(argv: Sequence[str]) -> int:
    """Run the sandbox until Ctrl-C or SIGTERM; return the exit status."""
    options = arguments(argv)
    try:
        return asyncio.run(_run(options))
    except (SandboxError, AssetsError, MirrorError) as error:
        print(f"metricsapi sandbox: {error}", file=sys.stderr)
        return 1


async def _run(options: argparse.Namespace) -> int:
    began = time.monotonic()
    stopping = asyncio.Event()
    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        ending.remove(signal.SIGHUP)  # started with nohup: the terminal may close
    for number in ending:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    directory = options.state_dir.resolve()
    _print("Starting the embedded cluster (API server, kubelets)")
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(owned(directory))
        embedded = await stack.enter_async_context(
            Embedded(
                size_of(options),
                directory,
                options.port,
                options.kubebuilder_assets,
            )
        )
        if options.without_server:
            _print(commands(embedded.cluster, embedded.directory / "kubeconfig"))
            await stopping.wait()
        else:
            await _serve(options, embedded, stack, stopping, began)
        _print("Stopping")
    return 0


async def _serve(
    options: argparse.Namespace,
    embedded: Embedded,
    stack: contextlib.AsyncExitStack,
    stopping: asyncio.Event,
    began: float,
) -> None:
    """Start the server, print the first usage, and wait for Ctrl-C."""
    api = embedded.api
    _print(f"API server at {api.url}; starting the server")
    flags = embedded.size.manifests.flags() if embedded.size.manifests else []
    if options.metric_resolution:
        flags.append(f"--metric-resolution={options.metric_resolution}")
    flags += options.server_flags
    server = ServerProcess(embedded.directory, flags)
    await server.start()
    stack.push_async_callback(server.stop)
    await api.connect(NAMESPACE, SERVICE, server.port)
    died = asyncio.create_task(server.ended())
    stack.callback(died.cancel)
    client = await stack.enter_async_context(
        admin_client(api.url, api.ca.pem, api.add_user(ADMIN, ("system:masters",)))
    )
    await _ready(embedded, client, server, stopping)
    if not stopping.is_set():
        _print(f"First usage after {time.monotonic() - began:.1f} s, read through the API:\n")
        await print_tables(client)
        kubeconfig = embedded.directory / "kubeconfig"
        page = ""
        if not options.once:
            page = await stack.enter_async_context(status_page(kubeconfig, server.port))
        _print(commands(embedded.cluster, kubeconfig, page, server.port))
    if not options.once:
        stop_requested = asyncio.create_task(stopping.wait())
        await asyncio.wait((stop_requested, died), return_when=asyncio.FIRST_COMPLETED)
        stop_requested.cancel()
    if died.done() and not stopping.is_set():
        raise SandboxError(server.exit_report())


async def _ready(
    embedded: Embedded, client: httpx.AsyncClient, server: ServerProcess, stopping: asyncio.Event
) -> None:
    """Wait until the APIService is available and the usage of every sound node is there."""
    within = READY_WITHIN + embedded.size.nodes * 0.03
    deadline = time.monotonic() + within
    size = embedded.size
    wanted = len(embedded.cluster.list("nodes")) - len(size.faults)
    # Of a fault the pods may be missing too; without a sound node none can be expected.
    pods = wanted > 0 and (size.host or size.pods > 0)
    while not stopping.is_set():
        if not server.is_running:
            raise SandboxError(server.exit_report())
        requested_at = time.monotonic()
        if await count(client, "nodes") >= wanted and await count(client, "pods") >= pods:
            return
        if time.monotonic() > deadline:
            raise SandboxError(f"no usage within {within:g} s\n{server.log_end()}")
        await asyncio.sleep(max(0.1, 2 * (time.monotonic() - requested_at)))


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError:  # the terminal is closed: stop in order
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
