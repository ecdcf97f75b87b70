"""The running server: its parts, built in the order data flows, in one task group.

kubelets → `ScraperPool` → `MetricsStore` → app → authentication → HTTPS.
"""

from __future__ import annotations

import asyncio
import gc
import re
import resource
import signal
import time

import uvloop
from prometheus_client import CollectorRegistry

from metricsapi import __version__
from metricsapi.api.app import create_app
from metricsapi.api.catalog import Catalog
from metricsapi.api.freshness import freshness_observer
from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import Credentials, load_credentials
from metricsapi.kube.informer import Informer
from metricsapi.kube.watch import NODES, RUNNING_PODS
from metricsapi.scrape.instrumented import MeasuredScraper, MeasuredStore
from metricsapi.scrape.kubelet import kubelet_client
from metricsapi.scrape.node_status import Rows
from metricsapi.scrape.scraper import ScraperPool
from metricsapi.scrape.targets import cluster_family
from metricsapi.server.http.refusal_log import RefusalLog
from metricsapi.server.http.request_log import RequestLog
from metricsapi.server.http.server import Server
from metricsapi.server.http.timeout import Deadline
from metricsapi.server.operator.operations import Operations
from metricsapi.server.operator.parts import Parts
from metricsapi.server.operator.request_metrics import RequestTelemetry
from metricsapi.server.security import Security
from metricsapi.storage.store import MetricsStore
from metricsapi.telemetry.metrics import Telemetry


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; give the exit status.

    Raises CredentialsError or OSError when it cannot start, with the file or port and the fix.
    """
    credentials = load_credentials(settings.kubeconfig)
    _allow_files()
    gc.collect()
    gc.freeze()  # what imports made stays: no collection need look at it again
    return uvloop.run(_serve(settings, credentials))


def _allow_files() -> None:
    """Open as many files as the hard limit allows: every node keeps a connection open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(settings: Settings, credentials: Credentials) -> int:
    telemetry = Telemetry(
        CollectorRegistry(), resolution=settings.kubelet.resolution, version=__version__
    )
    leaving = asyncio.Event()
    async with KubeClient(credentials) as client, Security(settings, client, telemetry) as security:
        nodes = Informer(client, NODES)
        pods = Informer(client, RUNNING_PODS)
        store = MetricsStore(max_age=settings.max_age, swap="swap" in settings.storage.resources)
        measured = MeasuredStore(store, telemetry)
        kubelets = kubelet_client(
            settings.kubelet,
            credentials,
            full_summary="ephemeral-storage" in settings.storage.resources,
        )
        scraper = MeasuredScraper(kubelets, telemetry)
        pool = ScraperPool(
            nodes=nodes,
            client=scraper,
            store=measured,
            settings=settings.kubelet,
            ip_family=cluster_family(credentials.server),
        )
        forever: list[asyncio.Task[None]] = []
        operations = Operations(
            settings,
            telemetry,
            Parts(
                nodes=nodes,
                pods=pods,
                scraper=pool,
                measured=scraper,
                statuses=Rows(store, kubelets, nodes),
                store=store,
                caches=security.caches,
                leaving=leaving,
                tasks=forever,
            ),
        )
        guarded = security.guard(
            create_app(
                catalog=Catalog(nodes, pods, store),
                clock=time.monotonic,
                routes=operations.routes,
                observe=freshness_observer(telemetry.freshness, time.time),
                address=_address(settings),
                started=time.time(),
            )
        )
        timed = Deadline(guarded, settings.limits.request_timeout)
        app = RequestLog(RequestTelemetry(timed, telemetry))
        server = Server(
            app,
            tls=security.tls,
            limits=settings.limits,
            serving=settings.serving,
            leaving=leaving,
            refusals=RefusalLog(telemetry.refusal),
        )
        server.bind()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.begin_shutdown)
        async with asyncio.TaskGroup() as group:
            forever += [
                group.create_task(part.run(), name=type(part).__name__)
                for part in (nodes, pods, security, pool)
            ]
            forever.append(group.create_task(operations.run(), name="Operations"))
            told = [group.create_task(one) for one in (security.ready(), leaving.wait())]
            await asyncio.wait(told, return_when=asyncio.FIRST_COMPLETED)
            await server.run()
            for task in (*forever, *told):
                task.cancel()
    return 0


def _address(settings: Settings) -> str:
    """Give where discovery says that we are reached: `host:port`, or `:port`."""
    host = settings.api.external_hostname or settings.api.advertise_address
    if re.fullmatch(r"(\[.*\]|[^:]*):[0-9]+", host):
        return host
    bare = ":" in host and not host.startswith("[")
    port = settings.serving.port
    return f"[{host}]:{port}" if bare else f"{host}:{port}"
