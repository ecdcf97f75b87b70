"""The parts of the running server, built in the order in which data flows.

kubelets → `ScraperPool` → `MetricsStore` → app → handler chain → HTTPS.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from fastapi import FastAPI

from metricsapi.api.app import create_app
from metricsapi.api.catalog import Catalog
from metricsapi.api.freshness import UsageAges
from metricsapi.api.queries import QueryObserver
from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import Credentials
from metricsapi.kube.files import FilesInUse
from metricsapi.kube.informer import Informer
from metricsapi.kube.resources import Node, Pod
from metricsapi.kube.watch import NODES, RUNNING_PODS
from metricsapi.scrape.kubelet import KubeletClient, kubelet_client
from metricsapi.scrape.node_status import Rows
from metricsapi.scrape.parts import Periodic, ScrapesAlone
from metricsapi.scrape.scraper import ScraperPool
from metricsapi.scrape.slices import Slices
from metricsapi.scrape.targets import cluster_family
from metricsapi.server.cluster import ClusterView
from metricsapi.server.handler_chain import build_handler_chain
from metricsapi.server.http.refusal_log import RefusalLog
from metricsapi.server.http.server import Server
from metricsapi.server.operator.operations import Operations
from metricsapi.server.operator.parts import Parts
from metricsapi.server.prefetch.prefetcher import Prefetcher
from metricsapi.server.replicas.replication import Replication
from metricsapi.server.security import Security
from metricsapi.server.supervisor import Supervisor
from metricsapi.server.task import LONGEST_SILENCE, Task
from metricsapi.storage.store import MetricsStore
from metricsapi.telemetry.metrics import Telemetry


@dataclass(frozen=True, kw_only=True)
class Process:
    """What all parts are built on."""

    settings: Settings
    credentials: Credentials
    telemetry: Telemetry
    supervisor: Supervisor
    client: KubeClient
    leaving: asyncio.Event  # set when the process is asked to end


class Cluster(NamedTuple):
    """The nodes and pods of the API server."""

    nodes: Informer[Node]
    pods: Informer[Pod]
    view: ClusterView


class Usage(NamedTuple):
    """The usage of nodes and pods, from kubelets to what is served."""

    store: MetricsStore
    kubelets: KubeletClient
    scraper: ScraperPool
    catalog: Catalog
    prefetcher: Prefetcher | None


def cluster_of(process: Process) -> Cluster:
    nodes, pods = Informer(process.client, NODES), Informer(process.client, RUNNING_PODS)
    return Cluster(nodes, pods, ClusterView(nodes, pods, process.client))


def replication_of(process: Process, security: Security, cluster: Cluster) -> Replication | None:
    """Return this replica's part in sharing scrapes; None without --leader-elect."""
    if not process.settings.leader_election.enabled:
        return None
    identity = security.replica_identity
    return Replication(process.settings, process.client, identity, cluster.nodes, process.leaving)


def usage_of(process: Process, cluster: Cluster, replication: Replication | None) -> Usage:
    settings, telemetry = process.settings, process.telemetry
    store = MetricsStore(
        max_age=settings.max_age,
        period=settings.kubelet.resolution,
        swap="swap" in settings.storage.resources,
        cluster=cluster.view,
        withheld=telemetry.withheld_pod,
    )
    cluster.view.follow(store)
    slices = Slices()
    sharing = replication or ScrapesAlone()
    kubelets = kubelet_client(
        settings.kubelet,
        process.credentials,
        slices=slices,
        full_summary="ephemeral-storage" in settings.storage.resources,
        may_repeat=sharing.may_scrape,
    )
    catalog = Catalog(cluster.nodes, cluster.pods, store)
    prefetcher = _prefetcher(process, cluster, catalog, store, replication)
    scraper = ScraperPool(
        nodes=cluster.nodes,
        client=kubelets,
        store=prefetcher.noting(store) if prefetcher else store,
        telemetry=telemetry,
        settings=settings.kubelet,
        ip_family=cluster_family(process.credentials.server),
        sharing=sharing,
        planner=prefetcher.planner if prefetcher else Periodic(),
        slices=slices,
    )
    if prefetcher is not None:
        prefetcher.attach(scraper)
    return Usage(store, kubelets, scraper, catalog, prefetcher)


def _prefetcher(
    process: Process,
    cluster: Cluster,
    catalog: Catalog,
    store: MetricsStore,
    replication: Replication | None,
) -> Prefetcher | None:
    """Return the planner of scrapes shortly before queries; None without --prefetch."""
    settings, telemetry = process.settings, process.telemetry
    if not settings.prefetches:
        return None
    prefetcher = Prefetcher(
        catalog,
        cluster.pods,
        store,
        period=settings.kubelet.resolution,
        min_interval=settings.min_scrape_interval,
        counted=telemetry.expected_query,
        forward=replication.forward if replication else lambda *_: None,
    )
    cluster.nodes.subscribe(prefetcher.node_changed)
    telemetry.remembered_queries.set_function(lambda: prefetcher.remembered)
    return prefetcher


def operations_of(
    process: Process,
    security: Security,
    cluster: Cluster,
    usage: Usage,
    replication: Replication | None,
) -> Operations:
    """Return the health checks, self-metrics and status page of these parts."""
    expected = usage.prefetcher.planner.expected if usage.prefetcher else lambda _: ""
    parts = Parts(
        nodes=cluster.nodes,
        pods=cluster.pods,
        scraper=usage.scraper,
        statuses=Rows(usage.store, usage.kubelets, cluster.nodes, expected),
        store=usage.store,
        caches=security.caches,
        leaving=process.leaving,
        supervisor=process.supervisor,
        replica=replication.status if replication else lambda: None,
    )
    name = process.credentials.cluster
    return Operations(process.settings, process.telemetry, parts, cluster=name)


def application(process: Process, usage: Usage, operations: Operations) -> FastAPI:
    """Return the app that serves the Metrics API and the routes of operators."""
    telemetry = process.telemetry
    ages = UsageAges(telemetry.freshness, telemetry.query_usage_age, time.time)
    observers: list[QueryObserver] = [ages]
    if usage.prefetcher is not None:
        observers.append(usage.prefetcher)
    return create_app(
        catalog=usage.catalog,
        clock=time.monotonic,
        routes=operations.routes,
        observers=observers,
        address=process.settings.discovery_address,
        started=time.time(),
    )


def https_server(
    process: Process,
    app: FastAPI,
    security: Security,
    usage: Usage,
    replication: Replication | None,
) -> Server:
    """Return the HTTPS server of an app behind the handler chain."""
    settings, telemetry = process.settings, process.telemetry
    on_query = usage.prefetcher.observe if usage.prefetcher else lambda *_: None
    refusals = RefusalLog(telemetry.refusal)
    chain = build_handler_chain(
        app,
        telemetry=telemetry,
        request_timeout=settings.limits.request_timeout,
        authenticator=security.authenticator,
        authorizer=security.authorizer,
        in_flight=security.in_flight,
        refusals=refusals,
        replicas=replication.middleware(on_query) if replication else None,
    )
    return Server(
        chain,
        tls=security.tls,
        limits=settings.limits,
        serving=settings.serving,
        leaving=process.leaving,
        refusals=refusals,
    )


def tasks_of(
    security: Security,
    cluster: Cluster,
    usage: Usage,
    operations: Operations,
    replication: Replication | None,
) -> list[Task]:
    """Return what runs until the process ends, in the order in which data flows."""
    files = FilesInUse([*security.files, *usage.kubelets.files])
    return [
        *(
            Task(f"{each.resource.name}-informer", each.run, each.failing)
            for each in (cluster.nodes, cluster.pods)
        ),
        Task("pod-nodes", partial(cluster.view.run, usage.store)),
        *security.tasks(),
        Task("credential-files", files.run, files.failing),
        Task(
            "scraper", usage.scraper.run, longest_silence=LONGEST_SILENCE + usage.scraper.patience
        ),
        *([Task("prefetch", usage.prefetcher.run)] if usage.prefetcher else []),
        *operations.tasks(),
        *(replication.tasks() if replication else []),
    ]
