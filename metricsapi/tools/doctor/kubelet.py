"""One node, from its address to its containers' numbers; each step needs the one before."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import httpx
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import ApiError, KubeError
from metricsapi.scrape.summary import decode_summary
from metricsapi.scrape.targets import Target
from metricsapi.storage.types import ContainerStats
from metricsapi.telemetry.troubleshooting import remedy
from metricsapi.tools.doctor.handshake import Reader, Stop, connect, handshake, words
from metricsapi.tools.doctor.result import NOT_REACHED, Findings, Result

CHECKS = (
    "address", "tcp", "tls", "authentication", "authorization", "endpoint", "payload", "clock",
    "containers",
)  # fmt: skip
SKEW = 5.0  # seconds; Date has whole ones


async def check_node(target: Target, reader: Reader) -> list[Result]:
    """Check one node from this machine; every name in CHECKS has a result."""
    findings = Findings(target.node)
    with contextlib.suppress(Stop):
        host = await connect(target, reader, findings)
        name = await handshake(target, host, reader, findings)
        await _read(target, host, name, reader, findings)
    return _complete(findings)


def _complete(findings: Findings) -> list[Result]:
    done = {result.check for result in findings.results}
    for check in CHECKS:
        if check not in done:
            findings.skip(check, NOT_REACHED)
    return findings.results


async def check_proxied(
    node: str, client: KubeClient, paths: tuple[str, ...], timeout: float
) -> list[Result]:
    """Check one node through the API server's proxy: sockets to it are the API server's."""
    findings = Findings(node)
    for check in ("address", "tcp", "tls"):
        findings.skip(check, "the API server connects (--kubelet-transport=apiserver-proxy)")

    async def get(path: str) -> httpx.Response:
        where = f"/api/v1/nodes/{quote(node, safe='')}/proxy{path}"
        try:
            return httpx.Response(200, content=await client.request("GET", where, timeout=timeout))
        except ApiError as error:
            return httpx.Response(error.code, text=error.message)
        except KubeError as error:
            raise httpx.TransportError(str(error)) from error

    with contextlib.suppress(Stop):
        await read_endpoints(node, paths, get, findings)
    return _complete(findings)


async def _read(target: Target, host: str, name: str, reader: Reader, findings: Findings) -> None:
    token = reader.token() if reader.context else None
    base = f"{reader.scheme}://{f'[{host}]' if ':' in host else host}:{target.port}"
    async with httpx.AsyncClient(
        base_url=base,
        verify=reader.context or False,
        trust_env=False,
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout=reader.timeout,
    ) as http:

        async def get(path: str) -> httpx.Response:
            return await http.get(path, extensions={"sni_hostname": name})

        await read_endpoints(
            target.node, (target.path,) if target.path else reader.paths, get, findings
        )


async def read_endpoints(
    node: str,
    paths: tuple[str, ...],
    get: Callable[[str], Awaitable[httpx.Response]],
    findings: Findings,
) -> None:
    """Read the first endpoint that may be read; what is refused on the way is noted."""
    forbidden: list[str] = []
    missing: list[str] = []
    for path in paths:
        begun = time.monotonic()
        answer = await _answer(path, get, findings)
        said = _said(answer, path)
        if not forbidden and not missing:
            _identity(answer, said, findings)
        if answer.status_code == 200:
            if forbidden:
                findings.warn("authorization", "; ".join(forbidden), remedy("forbidden").fix)
            else:
                findings.ok("authorization", f"{_short(path)} may be read")
            findings.ok("endpoint", f"{_short(path)}: {len(answer.content):,} bytes")
            _contents(node, path, answer, (begun, time.monotonic() - begun), findings)
            return
        if answer.status_code >= 500:
            findings.fail("endpoint", said, remedy("status").fix)
            raise Stop
        (forbidden if answer.status_code == 403 else missing).append(said)
    if forbidden:
        findings.fail("authorization", "; ".join(forbidden + missing), remedy("forbidden").fix)
    else:
        findings.fail("endpoint", "; ".join(missing), remedy("not_found").fix)
    raise Stop


async def _answer(
    path: str, get: Callable[[str], Awaitable[httpx.Response]], findings: Findings
) -> httpx.Response:
    try:
        return await get(path)
    except httpx.TimeoutException as error:
        findings.fail("endpoint", f"no answer to {_short(path)} in time", remedy("timeout").fix)
        raise Stop from error
    except httpx.HTTPError as error:
        findings.fail("endpoint", f"{_short(path)}: {words(error)}", remedy("reset").fix)
        raise Stop from error


def _identity(answer: httpx.Response, said: str, findings: Findings) -> None:
    if answer.status_code == 401:
        findings.fail("authentication", said, remedy("unauthorized").fix)
        raise Stop
    findings.ok("authentication", "the kubelet knows us")


def _short(path: str) -> str:
    return path.partition("?")[0]


def _said(answer: httpx.Response, path: str) -> str:
    said = f"{answer.status_code} for {_short(path)}"
    return f"{said}: {' '.join(answer.text[:300].split())}" if answer.status_code != 200 else said


class Sizes(Struct, frozen=True):
    """What an answer holds: containers in all, those without a stat, whether the node has its."""

    containers: int
    without: list[str]
    node: bool


def _contents(
    node: str, path: str, answer: httpx.Response, timing: tuple[float, float], findings: Findings
) -> None:
    begun, took = timing
    try:
        sizes = (
            _summary_sizes(node, answer.content, begun, took)
            if path.startswith("/stats")
            else _resource_sizes(answer.text)
        )
    except ValueError as error:
        findings.fail("payload", f"{error}: {answer.text[:80]!r}", remedy("decode").fix)
        raise Stop from error
    findings.ok("payload", f"{sizes.containers} containers in {took * 1000:.0f} ms")
    _clock(answer, findings)
    _stats(sizes, findings)


def _summary_sizes(node: str, body: bytes, begun: float, took: float) -> Sizes:
    sample = decode_summary(
        node, body, requested_at=begun, answered_at=begun + took, wall_offset=0.0
    )
    without = [
        f"{pod.pod_ref.namespace}/{pod.pod_ref.name}/{container.name}"
        for pod in sample.pods
        for container in pod.containers or ()
        if not _has_usage(container)
    ]
    containers = sum(len(pod.containers or ()) for pod in sample.pods)
    return Sizes(containers, without, sample.stats is not None and _has_usage(sample.stats))


def _has_usage(stats: ContainerStats) -> bool:
    cpu, memory = stats.cpu, stats.memory
    counted = cpu is not None and cpu.usage_core_nano_seconds is not None
    return counted and memory is not None and memory.working_set_bytes is not None


def _resource_sizes(text: str) -> Sizes:
    """Read exposition format with the format's own library, not with the server's decoder."""
    seen: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            name = "/".join(labels.get(key, "") for key in ("namespace", "pod", "container"))
            seen.setdefault(sample.name, set()).add(name)
    cpu = seen.get("container_cpu_usage_seconds_total", set())
    memory = seen.get("container_memory_working_set_bytes", set())
    has = {"node_cpu_usage_seconds_total", "node_memory_working_set_bytes"} <= seen.keys()
    return Sizes(len(cpu | memory), sorted(cpu ^ memory), has)


def _clock(answer: httpx.Response, findings: Findings) -> None:
    date = answer.headers.get("Date")
    try:
        skew = parsedate_to_datetime(date).timestamp() + 0.5 - time.time() if date else None
    except ValueError:
        skew = None
    if skew is None:
        findings.skip("clock", "the answer has no usable Date header")
    elif abs(skew) > SKEW:
        side = "ahead of" if skew > 0 else "behind"
        findings.warn(
            "clock",
            f"the node's clock is {abs(skew):.0f} s {side} ours",
            "Let NTP set both clocks: autoscalers compare these times with their own.",
        )
    else:
        findings.ok("clock", f"within {SKEW:g} s of ours")


def _stats(sizes: Sizes, findings: Findings) -> None:
    bad = sizes.without
    fix = "See the container runtime's and the kubelet's log on this node."
    if not sizes.node:
        findings.fail("containers", "the node's own CPU or memory is missing", fix)
    elif not sizes.containers:
        findings.warn("containers", "the kubelet lists no containers", fix)
    elif bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        findings.warn("containers", f"no stats for {', '.join(bad[:3])}{more}", fix)
    else:
        findings.ok("containers", f"all {sizes.containers} have CPU and memory")
