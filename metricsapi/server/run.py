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
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

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
from metricsapi.kube.selectors import parse_labels
from metricsapi.kube.watch import NODES, RUNNING_PODS
from metricsapi.scrape.instrumented import MeasuredScraper, MeasuredStore
from metricsapi.scrape.kubelet import kubelet_client
from metricsapi.scrape.node_status import Rows
from metricsapi.scrape.options import CollectSettings
from metricsapi.scrape.scraper import ScraperPool
from metricsapi.scrape.targets import family
from metricsapi.server.http.request_log import RequestLog
from metricsapi.server.http.server import Server
from metricsapi.server.http.timeout import Deadline
from metricsapi.server.operator.operations import Operations
from metricsapi.server.operator.parts import Parts
from metricsapi.server.operator.request_metrics import RequestTelemetry
from metricsapi.server.security import Trust
from metricsapi.storage.store import MetricsStore
from metricsapi.telemetry.metrics import Telemetry


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; give the exit status.

    Raises CredentialsError or OSError when it cannot start, with the file or port and the fix.
    """
    credentials = load_credentials(settings.kubeconfig or None)
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
        CollectorRegistry(), resolution=settings.metric_resolution, version=__version__
    )
    leaving = asyncio.Event()
    async with KubeClient(credentials) as client, Trust(settings, client, telemetry) as trust:
        nodes = Informer(client, NODES)
        pods = Informer(client, RUNNING_PODS)
        store = MetricsStore(max_age=settings.max_age, swap="swap" in settings.resources)
        measured = MeasuredStore(store, telemetry)
        collect = _collect_settings(settings, credentials)
        kubelets = kubelet_client(collect, credentials)
        scraper = MeasuredScraper(kubelets, telemetry)
        pool = ScraperPool(
            nodes=nodes,
            client=scraper,
            store=measured,
            settings=collect,
            selects=_selects(settings.node_selector),
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
                caches=trust.caches,
                leaving=leaving,
                tasks=forever,
            ),
        )
        guarded = trust.guard(
            create_app(
                catalog=Catalog(nodes, pods, store),
                clock=time.monotonic,
                routes=operations.routes,
                observe=freshness_observer(telemetry.freshness, time.time),
                address=_address(settings),
                started=time.time(),
            )
        )
        timed = Deadline(guarded, settings.request_timeout)
        app = RequestLog(RequestTelemetry(timed, telemetry))
        server = Server(
            app,
            tls=trust.tls,
            limits=trust.limits(),
            host=settings.bind_address,
            port=settings.secure_port,
            shutdown_delay=settings.shutdown_delay_duration,
            reuse_address=settings.permit_address_sharing,
            reuse_port=settings.permit_port_sharing,
            headers=_headers(settings),
            leaving=leaving,
        )
        server.bind()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.begin_shutdown)
        async with asyncio.TaskGroup() as group:
            forever += [
                group.create_task(part.run(), name=type(part).__name__)
                for part in (nodes, pods, trust, pool)
            ]
            forever.append(group.create_task(operations.run(), name="Operations"))
            told = [group.create_task(one) for one in (trust.ready(), leaving.wait())]
            await asyncio.wait(told, return_when=asyncio.FIRST_COMPLETED)
            await server.run()
            for task in (*forever, *told):
                task.cancel()
    return 0


def _address(settings: Settings) -> str:
    """Give where discovery says that we are reached: `host:port`, or `:port`."""
    host = settings.external_hostname or settings.advertise_address
    if re.fullmatch(r"(\[.*\]|[^:]*):[0-9]+", host):
        return host
    bare = ":" in host and not host.startswith("[")
    return f"[{host}]:{settings.secure_port}" if bare else f"{host}:{settings.secure_port}"


def _headers(settings: Settings) -> list[tuple[str, str]]:
    """Give the headers of every answer."""
    directives = settings.strict_transport_security_directives
    return [("strict-transport-security", "; ".join(directives))] if directives else []


def _collect_settings(settings: Settings, credentials: Credentials) -> CollectSettings:
    plain = settings.deprecated_kubelet_completely_insecure
    return CollectSettings(
        resolution=settings.metric_resolution,
        timeout=settings.kubelet_request_timeout,
        concurrency=settings.scrape_concurrency,
        failed_concurrency=settings.scrape_failed_concurrency,
        max_answer=settings.kubelet_max_response_bytes,
        address_types=settings.kubelet_preferred_address_types,
        ip_family=family(urlsplit(credentials.server).hostname or ""),
        # Without TLS the kubelet has another port of its own, unless one is named.
        port=None if plain and settings.kubelet_port == 10250 else settings.kubelet_port,
        use_node_status_port=settings.kubelet_use_node_status_port,
        insecure_http=plain,
        insecure_tls=settings.kubelet_insecure_tls,
        certificate_authority=_path(settings.kubelet_certificate_authority),
        client_certificate=_path(settings.kubelet_client_certificate),
        client_key=_path(settings.kubelet_client_key),
        endpoint=settings.kubelet_endpoint,
        full_summary="ephemeral-storage" in settings.resources,
        transport=settings.kubelet_transport,
    )


def _selects(node_selector: str) -> Callable[[Mapping[str, str]], bool]:
    """Tell by a node's labels whether it is to be read."""
    requirements = parse_labels(node_selector)
    return lambda labels: all(one.matches(labels) for one in requirements)


def _path(name: str) -> Path | None:
    return Path(name) if name else None
