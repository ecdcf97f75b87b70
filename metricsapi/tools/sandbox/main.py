"""`metricsapi sandbox`: an embedded cluster on this machine, and the server in it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from metricsapi.tools.sandbox.credentials import admin_client
from metricsapi.tools.sandbox.embedded import FAULT, WORKLOADS, Embedded, SandboxError, Size
from metricsapi.tools.sandbox.faults import Fault, fault_named
from metricsapi.tools.sandbox.kubeapiserver import AssetsError
from metricsapi.tools.sandbox.manifests import Manifests, ManifestsError
from metricsapi.tools.sandbox.mirror import MirrorError
from metricsapi.tools.sandbox.objects import NAMESPACE, SERVICE
from metricsapi.tools.sandbox.report import commands, count, print_tables
from metricsapi.tools.sandbox.serverprocess import ServerProcess
from metricsapi.tools.sandbox.statuspage import status_page
from metricsapi.tools.sandbox.users import ADMIN

READY_WITHIN = 60.0  # seconds, and 30 more for every 1,000 nodes


def main(argv: Sequence[str]) -> int:
    """Run the sandbox until Ctrl-C or SIGTERM; give the exit status."""
    options = _parser().parse_args(argv)
    try:
        return asyncio.run(_run(options))
    except (SandboxError, AssetsError, MirrorError) as error:
        print(f"metricsapi sandbox: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="metricsapi sandbox", description=__doc__)
    parser.add_argument("--nodes", type=int, default=0, help="synthetic nodes beside this machine")
    parser.add_argument("--pods", type=int, default=10, help="pods on each synthetic node")
    parser.add_argument("--containers", type=int, default=2, help="containers in each of them")
    parser.add_argument(
        "--namespaces", type=_some, default=10, help="that the pods are in by turns"
    )
    parser.add_argument(
        "--workloads",
        type=_sizes,
        default=(),
        metavar="SIZES",
        help=f"1,100: in {WORKLOADS}, one pod has the label workload=1, 100 others workload=100",
    )
    parser.add_argument("--changing", action="store_true", help="their usage swings; else constant")
    parser.add_argument(
        "--swap-every", type=int, default=0, metavar="N", help="each Nth of them has swap"
    )
    parser.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="NODE=FAULT",
        help="make a kubelet misbehave from the start (later: `kubectl annotate node NODE "
        f"{FAULT}=FAULT`): {', '.join(Fault)}",
    )
    parser.add_argument(
        "--manifests",
        type=_manifests,
        metavar="PATH",
        help="rendered manifests, a folder or a file, as the server's objects: their args, and "
        "exactly their RBAC",
    )
    parser.add_argument(
        "--kubebuilder-assets",
        type=Path,
        metavar="DIR",
        help="a folder with kube-apiserver and etcd, to run in place of the stand-in",
    )
    parser.add_argument("--port", type=int, help="the API server's port (6443, or a free one)")
    parser.add_argument("--state-dir", type=Path, default=Path(".state"), help="where files go")
    parser.add_argument("--metric-resolution", help="passed to the server")
    parser.add_argument("--no-host", action="store_true", help="leave this machine out")
    parser.add_argument("--once", action="store_true", help="end after the tables are printed")
    parser.add_argument("--without-server", action="store_true", help="only the cluster")
    parser.add_argument("server_flags", nargs="*", metavar="-- FLAGS", help="for the server")
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    if not all(size.isascii() and size.isdecimal() for size in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers of pods: 1,100,1000")
    return tuple(int(size) for size in text.split(","))


def _some(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _manifests(text: str) -> Manifests:
    try:
        return Manifests.load(Path(text))
    except (OSError, ManifestsError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _fault(text: str) -> tuple[str, Fault]:
    node, _, name = text.partition("=")
    fault = fault_named(name)
    if fault is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not NODE=FAULT, one of {', '.join(Fault)}")
    return node, fault


async def _run(options: argparse.Namespace) -> int:
    began = time.monotonic()
    leaving = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, leaving.set)
    size = Size(
        options.nodes,
        options.pods,
        options.containers,
        options.namespaces,
        options.workloads,
        host=not options.no_host,
        changing=options.changing,
        swap_every=options.swap_every,
        faults=dict(options.fault),
        manifests=options.manifests,
    )
    _say("Starting the embedded cluster (API server, kubelets)")
    async with contextlib.AsyncExitStack() as stack:
        embedded = await stack.enter_async_context(
            Embedded(
                size,
                options.state_dir.resolve(),
                options.port,
                options.kubebuilder_assets,
            )
        )
        if options.without_server:
            _say(commands(embedded.cluster, embedded.directory / "kubeconfig"))
            await leaving.wait()
        else:
            await _serve(options, embedded, stack, leaving, began)
        _say("Stopping")
    return 0


async def _serve(
    options: argparse.Namespace,
    embedded: Embedded,
    stack: contextlib.AsyncExitStack,
    leaving: asyncio.Event,
    began: float,
) -> None:
    """Start the server, print what it tells, and wait for Ctrl-C."""
    api = embedded.api
    _say(f"API server at {api.url}; starting the server")
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
    await _ready(embedded, client, server, leaving)
    if not leaving.is_set():
        _say(f"First usage after {time.monotonic() - began:.1f} s, read through the API:\n")
        await print_tables(client)
        kubeconfig = embedded.directory / "kubeconfig"
        page = ""
        if not options.once:
            page = await stack.enter_async_context(status_page(kubeconfig, server.port))
        _say(commands(embedded.cluster, kubeconfig, page))
    if not options.once:
        told = asyncio.create_task(leaving.wait())
        await asyncio.wait((told, died), return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
    if died.done() and not leaving.is_set():
        raise SandboxError(server.epitaph())


async def _ready(
    embedded: Embedded, client: httpx.AsyncClient, server: ServerProcess, leaving: asyncio.Event
) -> None:
    """Wait until the APIService is available and the usage of every sound node is there."""
    within = READY_WITHIN + embedded.size.nodes * 0.03
    deadline = time.monotonic() + within
    wanted = len(embedded.cluster.list("nodes")) - len(embedded.size.faults)
    while not leaving.is_set():
        if not server.is_running:
            raise SandboxError(server.epitaph())
        asked = time.monotonic()
        if await count(client, "nodes") >= wanted and await count(client, "pods") > 0:
            return
        if time.monotonic() > deadline:
            raise SandboxError(f"no usage within {within:g} s\n{server.log_end()}")
        await asyncio.sleep(max(0.1, 2 * (time.monotonic() - asked)))


def _say(text: str) -> None:
    print(text, flush=True)
