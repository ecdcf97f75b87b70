"""The running server: its parts are built (`assembly`) and run in one task group."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal

import uvloop
from prometheus_client import CollectorRegistry

from metricsapi import __version__
from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import Credentials, load_credentials
from metricsapi.server.assembly import (
    Process,
    application,
    cluster_of,
    https_server,
    operations_of,
    replication_of,
    tasks_of,
    usage_of,
)
from metricsapi.server.http.server import Server
from metricsapi.server.security import Security
from metricsapi.server.supervisor import Supervisor
from metricsapi.telemetry.metrics import Telemetry


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status.

    Raises CredentialsError or OSError when it cannot start, with the file or port and the fix.
    """
    credentials = load_credentials(settings.kubeconfig)
    _allow_files()
    gc.collect()
    gc.freeze()  # what imports made stays: no collection need traverse it again
    return uvloop.run(_serve(settings, credentials))


def _allow_files() -> None:
    """Open as many files as the hard limit allows: every node keeps a connection open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(settings: Settings, credentials: Credentials) -> int:
    async with contextlib.AsyncExitStack() as stack:
        telemetry = Telemetry(
            CollectorRegistry(), resolution=settings.kubelet.resolution, version=__version__
        )
        process = Process(
            settings=settings,
            credentials=credentials,
            telemetry=telemetry,
            supervisor=Supervisor(telemetry.task_restarted),
            client=await stack.enter_async_context(KubeClient(credentials)),
            leaving=asyncio.Event(),
        )
        security = Security(
            settings,
            process.client,
            telemetry,
            lambda: operations.is_ready(),  # noqa: PLW0108  it is made of later parts
            stack,
        )
        cluster = cluster_of(process)
        replication = replication_of(process, security, cluster)
        usage = usage_of(process, cluster, replication)
        operations = operations_of(process, security, cluster, usage, replication)
        app = application(process, usage, operations)
        server = https_server(process, app, security, usage, replication)
        if replication is not None:
            replication.attach(usage.scraper, server.port)
        tasks = tasks_of(security, cluster, usage, operations, replication)
        process.supervisor.add(*tasks)
        await _run(server, security, process.supervisor)
    return 0


async def _run(server: Server, security: Security, supervisor: Supervisor) -> None:
    """Run everything until the server has ended, which only a signal brings about."""
    server.bind()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.begin_shutdown)
    async with asyncio.TaskGroup() as group:
        tasks = group.create_task(supervisor.run())
        ready = group.create_task(security.ready())
        ended = group.create_task(server.leaving.wait())
        await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
        await server.run()
        for task in (tasks, ready, ended):
            task.cancel()
