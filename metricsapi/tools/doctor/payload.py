"""Checks a kubelet's response: whether usage can be read from it, and when it was made."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import httpx
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from metricsapi.scrape.decoding import DecodeError, Exchange, run
from metricsapi.scrape.endpoints import SHORT_SUMMARY
from metricsapi.scrape.errors import Cause
from metricsapi.scrape.summary import summary_steps
from metricsapi.scrape.targets import Target
from metricsapi.scrape.usage_check import lacking
from metricsapi.storage.limits import limits_of
from metricsapi.tools.doctor.result import Findings

SKEW = 5.0  # seconds; Date has whole ones


class Sizes(Struct, frozen=True):
    """The contents of a response: all containers, those without a stat, the node's own stats."""

    containers: int
    without: list[str]
    node: bool


def check_payload(
    target: Target,
    path: str,
    response: httpx.Response,
    timing: tuple[float, float],
    findings: Findings,
) -> None:
    """Check payload, clock and containers; `timing` is when the request began and what it took.

    After a payload that cannot be decoded, the other checks are skipped.
    """
    started, took = timing
    try:
        sizes = (
            _summary_sizes(target, response.content, started, took)
            if path == SHORT_SUMMARY
            else _resource_sizes(response.text)
        )
    except ValueError as error:
        cause = error.cause if isinstance(error, DecodeError) else Cause.DECODE
        findings.because("payload", cause, f"{error}: {response.text[:80]!r}")
        return
    findings.ok("payload", f"{sizes.containers} containers in {took * 1000:.0f} ms")
    _clock(response, findings)
    _stats(sizes, findings)


def _summary_sizes(target: Target, body: bytes, started: float, took: float) -> Sizes:
    exchange = Exchange(target.node, started, started + took, wall_offset=0.0)
    sample = run(summary_steps(body, exchange))
    limits = limits_of(target.capacity, sample.stats, swap=False)
    without = [
        f"{pod.pod_ref.namespace}/{pod.pod_ref.name}/{container.name}"
        for pod in sample.pods
        for container in pod.containers or ()
        if lacking(container, limits)
    ]
    containers = sum(len(pod.containers or ()) for pod in sample.pods)
    node = sample.stats
    return Sizes(containers, without, node is not None and not lacking(node, limits))


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


def _clock(response: httpx.Response, findings: Findings) -> None:
    date = response.headers.get("Date")
    try:
        skew = parsedate_to_datetime(date).timestamp() + 0.5 - time.time() if date else None
    except (ValueError, OverflowError):
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
        findings.because("containers", Cause.NO_USAGE, "the node's own CPU or memory is missing")
    elif not sizes.containers:
        findings.warn("containers", "the kubelet lists no containers", fix)
    elif len(bad) == sizes.containers:
        text = f"none of the {len(bad)} containers has CPU and memory: {bad[0]} and so on"
        findings.because("containers", Cause.NO_USAGE, text)
    elif bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        findings.warn("containers", f"no stats for {', '.join(bad[:3])}{more}", fix)
    else:
        findings.ok("containers", f"all {sizes.containers} have CPU and memory")
