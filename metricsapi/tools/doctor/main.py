"""`metricsapi doctor`: runs the checks with the flags of `serve`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain

from metricsapi.config.command_line import parse, usage, wants_help
from metricsapi.config.flags import Group, flags_of, with_values
from metricsapi.config.ignored_flags import IGNORED
from metricsapi.config.read import serve_flags
from metricsapi.config.settings import Settings
from metricsapi.config.validation import problems, range_problems, warnings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import Credentials, default_kubeconfigs, load_credentials
from metricsapi.kube.errors import CredentialsError, KubeError
from metricsapi.kube.listing import list_all
from metricsapi.kube.resources import Node
from metricsapi.kube.watch import NODES
from metricsapi.scrape.endpoints import RESOURCE_METRICS, SHORT_SUMMARY
from metricsapi.scrape.errors import Cause
from metricsapi.scrape.targets import cluster_family, target_of
from metricsapi.scrape.tls import kubelet_tls
from metricsapi.telemetry.printable import printable
from metricsapi.tools.doctor import report
from metricsapi.tools.doctor.cluster import check_cluster
from metricsapi.tools.doctor.handshake import Reader
from metricsapi.tools.doctor.installation import Installation, State, probe_token
from metricsapi.tools.doctor.kubelet import check_node, check_proxied
from metricsapi.tools.doctor.result import CLUSTER, FITNESS, Findings, Result, Status

DOCTOR = Group("Doctor")
HELP = """\
Usage: metricsapi doctor [flags]

Checks what makes installations fail; before an installation, whether the cluster is fit for it.
Takes the flags of serve. Without --kubeconfig it asks as kubectl would ($KUBECONFIG, else
~/.kube/config), and in a pod as the server.
"""


@dataclass(frozen=True, kw_only=True)
class DoctorSettings:
    """The flags of `serve`, and what the doctor takes beside them."""

    output: str = DOCTOR.string("output", "table", "table or json", choices=("table", "json"))
    nodes: tuple[str, ...] = DOCTOR.strings("nodes", (), "Check only these nodes.")
    concurrency: int = DOCTOR.integer(
        "concurrency", 32, "The number of nodes that are checked at once.", minimum=1
    )
    serve: Settings = Settings()


def main(args: Sequence[str]) -> int:
    """Return 0 if nothing failed, 1 if something did, 2 for bad usage."""
    flags = flags_of(DoctorSettings)
    if wants_help(args):
        own = [flag for flag in flags.values() if flag.group == DOCTOR.title]
        print(HELP + usage([*own, *serve_flags()]), end="")
        return 0
    parsed = parse(args, os.environ, flags, IGNORED)
    options = with_values(DoctorSettings, parsed.values)
    faults = [*parsed.problems, *problems(options.serve)]
    faults += [text for text in range_problems(options) if text not in faults]
    if faults:
        for text in faults:
            print(f"metricsapi doctor: {printable(text)}", file=sys.stderr)
        return 2
    results = asyncio.run(examine(options))
    if options.output == "json":
        print(report.as_json(results), end="")
    else:
        print(report.as_table(results, colour=sys.stdout.isatty()), end="")
    return report.exit_status(results)


async def examine(options: DoctorSettings) -> list[Result]:
    """Check the cluster, then every node; results in that order."""
    settings = options.serve
    # A thread for each name that is looked up, or slow ones would hold up those of other nodes.
    threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="names")
    asyncio.get_running_loop().set_default_executor(threads)
    try:
        credentials = _credentials(settings, os.environ)
    except (CredentialsError, RuntimeError) as error:  # RuntimeError: this user has no home
        findings = Findings(CLUSTER)
        findings.fail("credentials", str(error), "Name a kubeconfig that works: --kubeconfig=FILE")
        return findings.results
    async with KubeClient(credentials, "metricsapi-doctor") as client:
        findings = Findings(CLUSTER)
        for warning in warnings(settings, time.time()):
            findings.warn("flags", warning, "Correct the flag or its file, unless it is meant so.")
        of_cluster, installation = await check_cluster(client, settings)
        results = findings.results + of_cluster
        findings = Findings(CLUSTER)
        nodes = await _nodes(client, options, findings)
        token = ""
        if nodes and settings.kubelet.transport == "direct" and not settings.kubelet.plain_http:
            token = await _probe_token(client, installation, findings)
        results += findings.results
        results += await _check_nodes(nodes, client, credentials, options, token)
        if installation.state is not State.OURS:
            results.append(_fitness(results))
        return results


def _credentials(settings: Settings, environ: Mapping[str, str]) -> Credentials:
    """Return the flags' credentials, else in a pod the server's, elsewhere those of kubectl."""
    in_pod = "KUBERNETES_SERVICE_HOST" in environ and not environ.get("KUBECONFIG")
    if settings.kubeconfig or in_pod:
        return load_credentials(settings.kubeconfig)
    return load_credentials(default_kubeconfigs(environ))


async def _probe_token(client: KubeClient, installation: Installation, findings: Findings) -> str:
    """Return a service account's token for kubelets, unless what we present is one already."""
    if installation.as_service_account or not installation.user:
        return ""
    try:
        return await probe_token(client, installation)
    except KubeError as error:
        findings.skip("token authentication", f"no token of a service account to try: {error}")
        return ""


def _fitness(results: Sequence[Result]) -> Result:
    """Return whether this server can be installed, by all other results."""
    failed = [result for result in results if result.status is Status.FAIL]
    if not failed:
        text = "this server can be installed here (README.md, or docs/migration.md)"
        return Result(FITNESS, CLUSTER, Status.OK, text)
    what = dict.fromkeys(result.check for result in failed)
    text = f"not yet: {', '.join(what)} failed"
    return Result(FITNESS, CLUSTER, Status.FAIL, text, "Mend what is listed above first.")


async def _nodes(client: KubeClient, options: DoctorSettings, findings: Findings) -> list[Node]:
    """Return the nodes that the server would scrape; add a finding where they are unknown."""
    selector = options.serve.kubelet.node_selector
    nodes = replace(NODES, params={"labelSelector": selector} if selector else {})
    try:
        listed = (await list_all(client, nodes)).items
    except KubeError as error:
        findings.fail("nodes", str(error), "The server needs list and watch on nodes.")
        return []
    for name in sorted(set(options.nodes) - {node.name for node in listed}):
        findings.fail("nodes", f"there is no node {name}", "See kubectl get nodes.")
    wanted = [node for node in listed if not options.nodes or node.name in options.nodes]
    if listed:
        findings.ok("nodes", f"{len(listed)} listed, {len(wanted)} to check")
    else:
        findings.warn("nodes", "no nodes", "Does --node-selector match any?")
    return sorted(wanted, key=lambda node: node.name)


async def _check_nodes(
    nodes: Sequence[Node],
    client: KubeClient,
    credentials: Credentials,
    options: DoctorSettings,
    probe: str,
) -> list[Result]:
    progress = report.Progress(sys.stderr, len(nodes))
    in_flight = asyncio.Semaphore(options.concurrency)
    settings = options.serve.kubelet
    ip_family = cluster_family(credentials.server)
    paths = {"summary": (SHORT_SUMMARY,), "resource": (RESOURCE_METRICS,)}.get(
        settings.endpoint, (SHORT_SUMMARY, RESOURCE_METRICS)
    )
    tls = kubelet_tls(settings, credentials)
    reader = Reader(
        context=tls.context() if tls else None,
        token=credentials.identity.token,
        timeout=settings.timeout,
        paths=paths,
        verify=not settings.insecure_tls,
        max_bytes=settings.max_response_bytes,
        probe=probe,
    )

    async def check(node: Node) -> list[Result]:
        async with in_flight:
            try:
                target = target_of(node, settings, ip_family)
                if settings.transport == "apiserver-proxy":
                    return await check_proxied(target, client, reader)
                return await check_node(target, reader)
            except Exception as error:  # noqa: BLE001  no node ends the checks of the others
                findings = Findings(node.name)
                findings.because("node", Cause.INTERNAL, f"{type(error).__name__}: {error}")
                return findings.results
            finally:
                progress.advance()

    return list(chain.from_iterable(await asyncio.gather(*map(check, nodes))))
