"""The running server: its parts, built in the order in which data flows, in a task group.

kubelets → `ScraperPool` → `MetricsStore` → app → handler chain → HTTPS.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import resource
import signal
import time
from functools import partial

import uvloop
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from metricsapi import __version__
from metricsapi.api.app import create_app
from metricsapi.api.catalog import Catalog
from metricsapi.api.freshness import UsageAges
from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import Credentials, load_credentials
from metricsapi.kube.informer import Informer
from metricsapi.kube.watch import NODES, RUNNING_PODS
from metricsapi.scrape.instrumented import MeasuredScraper, MeasuredStore
from metricsapi.scrape.kubelet import kubelet_client
from metricsapi.scrape.node_status import Rows
from metricsapi.scrape.parts import ScrapesAlone
from metricsapi.scrape.scraper import ScraperPool
from metricsapi.scrape.targets import cluster_family
from metricsapi.server.cluster import ClusterView
from metricsapi.server.handler_chain import build_handler_chain
from metricsapi.server.http.refusal_log import RefusalLog
from metricsapi.server.http.server import Server
from metricsapi.server.operator.operations import Operations
from metricsapi.server.operator.parts import Parts
from metricsapi.server.replicas.replication import Replication
from metricsapi.server.security import Security
from metricsapi.server.supervisor import Supervisor, Task
from metricsapi.storage.store import MetricsStore
from metricsapi.telemetry.metrics import Telemetry


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; give the exit status.

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
        leaving = asyncio.Event()  # set when the process is asked to end
        telemetry = Telemetry(
            CollectorRegistry(), resolution=settings.kubelet.resolution, version=__version__
        )
        supervisor = Supervisor(telemetry.task_restarted)
        client = await stack.enter_async_context(KubeClient(credentials))
        security = await stack.enter_async_context(
            # `operations` is made of later parts.
            Security(settings, client, telemetry, lambda: operations.is_ready())  # noqa: PLW0108
        )

        # From the API server: what there is.
        nodes = Informer(client, NODES)
        pods = Informer(client, RUNNING_PODS)

        # From kubelets: what it uses.
        cluster = ClusterView(nodes, pods, client)
        store = MetricsStore(
            max_age=settings.max_age,
            period=settings.kubelet.resolution,
            swap="swap" in settings.storage.resources,
            cluster=cluster,
            withheld=telemetry.withheld_pod,
        )
        cluster.follow(store)
        kubelets = kubelet_client(
            settings.kubelet,
            credentials,
            full_summary="ephemeral-storage" in settings.storage.resources,
        )
        measured = MeasuredScraper(kubelets, telemetry)
        replication = None
        if settings.leader_election.enabled:
            replication = Replication(settings, client, security.replica_identity, nodes, leaving)
        scraper = ScraperPool(
            nodes=nodes,
            client=measured,
            store=MeasuredStore(store, telemetry),
            settings=settings.kubelet,
            ip_family=cluster_family(credentials.server),
            sharing=replication or ScrapesAlone(),
        )

        # To operators: how all this works.
        parts = Parts(
            nodes=nodes,
            pods=pods,
            scraper=scraper,
            measured=measured,
            statuses=Rows(store, kubelets, nodes),
            store=store,
            caches=security.caches,
            leaving=leaving,
            supervisor=supervisor,
            replica=replication.status if replication else lambda: None,
        )
        operations = Operations(settings, telemetry, parts, cluster=credentials.cluster)

        # To clients: the usage of what there is.
        app = create_app(
            catalog=Catalog(nodes, pods, store),
            clock=time.monotonic,
            routes=operations.routes,
            observers=[UsageAges(telemetry.freshness, telemetry.query_usage_age, time.time)],
            address=advertised_address(settings),
            started=time.time(),
        )
        server = _server(app, settings, security, telemetry, leaving, replication)

        # What runs, in the order in which data flows.
        supervisor.add(
            *(
                Task(f"{each.resource.name}-informer", each.run, each.failing)
                for each in (nodes, pods)
            ),
            Task("pod-nodes", partial(cluster.run, store)),
            *security.tasks(),
            Task("scraper", scraper.run),
            *operations.tasks(),
        )
        if replication is not None:
            replication.attach(scraper, server.port)
            supervisor.add(*replication.tasks())
        await _run(server, security, supervisor)
    return 0


def _server(
    app: FastAPI,
    settings: Settings,
    security: Security,
    telemetry: Telemetry,
    leaving: asyncio.Event,
    replication: Replication | None,
) -> Server:
    """Give the HTTPS server of an app behind the handler chain."""
    refusals = RefusalLog(telemetry.refusal)
    chain = build_handler_chain(
        app,
        telemetry=telemetry,
        request_timeout=settings.limits.request_timeout,
        authenticator=security.authenticator,
        authorizer=security.authorizer,
        in_flight=security.in_flight,
        refusals=refusals,
        replicas=replication.middleware() if replication else None,
    )
    return Server(
        chain,
        tls=security.tls,
        limits=settings.limits,
        serving=settings.serving,
        leaving=leaving,
        refusals=refusals,
    )


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


def advertised_address(settings: Settings) -> str:
    """Give the address of this server for discovery: `host:port`, or `:port`."""
    host = settings.api.external_hostname or settings.api.advertise_address
    if re.fullmatch(r"(\[.*\]|[^:]*):[0-9]+", host):
        return host
    bare = ":" in host and not host.startswith("[")
    port = settings.serving.port
    return f"[{host}]:{port}" if bare else f"{host}:{port}"
