"""`metricsapi doctor`: runs the checks with the flags of `serve`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from metricsapi.config.flags import INT, STRING, STRINGS, flag, flags_of, parse, usage
from metricsapi.config.ignored_flags import IGNORED
from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import Credentials, load_credentials
from metricsapi.kube.errors import CredentialsError, KubeError
from metricsapi.kube.resources import Node
from metricsapi.kube.watch import NODES, decode_page
from metricsapi.scrape.options import CollectSettings
from metricsapi.scrape.targets import target_of
from metricsapi.scrape.tls import KubeletTLS
from metricsapi.tools.doctor import report
from metricsapi.tools.doctor.cluster import check_cluster
from metricsapi.tools.doctor.handshake import RESOURCE, SUMMARY, Reader
from metricsapi.tools.doctor.kubelet import check_node, check_proxied
from metricsapi.tools.doctor.result import Findings, Result

DOCTOR = "Doctor"


@dataclass(frozen=True)
class DoctorFlags:
    """What the doctor takes beside the flags of `serve`."""

    output: str = flag(STRING, "table", DOCTOR, "table or json", choices=("table", "json"))
    nodes: tuple[str, ...] = flag(STRINGS, (), DOCTOR, "Check only these nodes.")
    concurrency: int = flag(INT, 32, DOCTOR, "The number of nodes that are checked at once.")


def main(args: Sequence[str]) -> int:
    """Return 0 if nothing failed, 1 if something did, 2 for bad usage."""
    flags = flags_of(DoctorFlags) | flags_of(Settings)
    if any(arg in ("-h", "--help") for arg in args):
        defaults = {
            name: getattr(DoctorFlags() if hasattr(DoctorFlags, key) else Settings(), key)
            for name in flags
            for key in (name.replace("-", "_"),)
        }
        print("Usage: metricsapi doctor [flags]\n" + usage(flags.values(), defaults), end="")
        return 0
    parsed = parse(args, os.environ, flags, IGNORED)
    values = {name.replace("-", "_"): value for name, value in parsed.values.items()}
    own = {name: values.pop(name) for name in ("output", "nodes", "concurrency") if name in values}
    settings, options = Settings(**values), DoctorFlags(**own)
    problems = [*parsed.problems, *settings.problems()]
    if options.concurrency < 1:
        problems.append("--concurrency must be 1 or more")
    if problems:
        print("\n".join(f"metricsapi doctor: {one}" for one in problems), file=sys.stderr)
        return 2
    results = asyncio.run(examine(settings, options))
    if options.output == "json":
        print(report.as_json(results), end="")
    else:
        print(report.as_table(results, colour=sys.stdout.isatty()), end="")
    return report.exit_status(results)


async def examine(settings: Settings, options: DoctorFlags) -> list[Result]:
    """Check the cluster, then every node; results in that order."""
    # A thread for each name that is looked up, or slow ones would hold up those of other nodes.
    threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="names")
    asyncio.get_running_loop().set_default_executor(threads)
    try:
        credentials = load_credentials(settings.kubeconfig or None)
    except CredentialsError as error:
        findings = Findings("cluster")
        findings.fail("credentials", str(error), "Name a kubeconfig that works: --kubeconfig=FILE")
        return findings.results
    async with KubeClient(credentials, "metricsapi-doctor") as client:
        findings = Findings("cluster")
        for warning in settings.warnings(time.time()):
            findings.warn("flags", warning, "Correct the flag or its file, unless it is meant so.")
        results = findings.results + await check_cluster(client, settings)
        findings = Findings("cluster")
        nodes = await _nodes(client, settings, options, findings)
        results += findings.results
        return results + await _check_nodes(nodes, client, credentials, settings, options)


async def _nodes(
    client: KubeClient, settings: Settings, options: DoctorFlags, findings: Findings
) -> list[Node]:
    """List the nodes that the server would read; says what hinders it."""
    found: list[Node] = []
    token = ""
    try:
        while True:
            params: dict[str, str | int] = {"limit": 500}
            if settings.node_selector:
                params["labelSelector"] = settings.node_selector
            if token:
                params["continue"] = token
            page = decode_page(NODES, await client.request("GET", NODES.path, params=params))
            found += page.items
            token = page.next
            if not token:
                break
    except (KubeError, msgspec.DecodeError) as error:
        findings.fail("nodes", str(error), "The server needs list and watch on nodes.")
        return []
    for name in sorted(set(options.nodes) - {node.name for node in found}):
        findings.fail("nodes", f"there is no node {name}", "See kubectl get nodes.")
    wanted = [node for node in found if not options.nodes or node.name in options.nodes]
    if found:
        findings.ok("nodes", f"{len(found)} nodes, {len(wanted)} to check")
    else:
        findings.warn("nodes", "no nodes", "Does --node-selector match any?")
    return sorted(wanted, key=lambda node: node.name)


async def _check_nodes(
    nodes: Sequence[Node],
    client: KubeClient,
    credentials: Credentials,
    settings: Settings,
    options: DoctorFlags,
) -> list[Result]:
    progress = report.Progress(sys.stderr, len(nodes))
    gate = asyncio.Semaphore(options.concurrency)
    collect = collect_settings(settings)
    timeout = settings.kubelet_request_timeout
    paths = {"summary": (SUMMARY,), "resource": (RESOURCE,)}.get(
        settings.kubelet_endpoint, (SUMMARY, RESOURCE)
    )
    context = None
    if not collect.insecure_http:
        context = KubeletTLS(collect, credentials.authority_file or credentials.authority).context(
            0.0
        )
    reader = Reader(
        context=context,
        token=credentials.token,
        timeout=timeout,
        paths=paths,
        verify=not collect.insecure_tls,
    )

    async def one(node: Node) -> list[Result]:
        async with gate:
            if settings.kubelet_transport == "apiserver-proxy":
                results = await check_proxied(node.name, client, paths, timeout)
            else:
                results = await check_node(target_of(node, collect), reader)
        progress.advance()
        return results

    return [result for found in await asyncio.gather(*map(one, nodes)) for result in found]


def collect_settings(settings: Settings) -> CollectSettings:
    """Say how kubelets are reached, as the server would."""
    return CollectSettings(
        address_types=settings.kubelet_preferred_address_types,
        port=settings.kubelet_port,
        use_node_status_port=settings.kubelet_use_node_status_port,
        insecure_http=settings.deprecated_kubelet_completely_insecure,
        insecure_tls=settings.kubelet_insecure_tls,
        certificate_authority=_path(settings.kubelet_certificate_authority),
        client_certificate=_path(settings.kubelet_client_certificate),
        client_key=_path(settings.kubelet_client_key),
    )


def _path(name: str) -> Path | None:
    return Path(name) if name else None
