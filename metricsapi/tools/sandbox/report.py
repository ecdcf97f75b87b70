"""What the sandbox prints: usage read back through the Metrics API, and what to try."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import httpx

from metricsapi.tools.sandbox.objects import NAMESPACE, SERVICE
from metricsapi.tools.sandbox.state import Cluster

BASE = "/apis/metrics.k8s.io/v1beta1"
MOST = 15  # rows of each table
_UNITS = {"n": 1e-6, "u": 1e-3, "m": 1.0, "": 1000.0}
_SIZES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 1e3, "M": 1e6, "G": 1e9, "": 1.0}


async def count(client: httpx.AsyncClient, resource: str) -> int:
    """Return how many nodes or pods the Metrics API lists; 0 while it is not available."""
    try:
        response = await client.get(f"{BASE}/{resource}")
        return len(response.json()["items"]) if response.status_code == 200 else 0
    except httpx.TransportError:
        return 0


def _program() -> str:
    """Return how a shell without this virtual environment runs `metricsapi`."""
    own = Path(sys.executable).with_name("metricsapi")
    on_path = shutil.which("metricsapi") == str(own) or not own.exists()
    return "metricsapi" if on_path else shlex.quote(str(own))


async def print_tables(client: httpx.AsyncClient) -> None:
    """Print nodes and pods as an HTTP client reads them through the API server."""
    nodes = (await client.get(f"{BASE}/nodes")).raise_for_status().json()["items"]
    pods = (await client.get(f"{BASE}/pods")).raise_for_status().json()["items"]
    rows = [(n["metadata"]["name"], _cpu(n["usage"]), _memory(n["usage"])) for n in nodes]
    _print(("NODE", "CPU", "MEMORY"), [(a, _millis(b), _mebis(c)) for a, b, c in rows[:MOST]])
    if len(rows) > MOST:
        print(f"... and {len(rows) - MOST} more nodes")
    used = sorted(
        (
            (
                pod["metadata"]["namespace"],
                pod["metadata"]["name"],
                sum(_cpu(c["usage"]) for c in pod["containers"]),
                sum(_memory(c["usage"]) for c in pod["containers"]),
            )
            for pod in pods
        ),
        key=lambda row: (-row[2], -row[3]),
    )
    print()
    _print(
        ("NAMESPACE", "POD", "CPU", "MEMORY"),
        [(a, b, _millis(c), _mebis(d)) for a, b, c, d in used[:MOST]],
    )
    if len(used) > MOST:
        print(f"... and {len(used) - MOST} more pods")


def commands(cluster: Cluster, kubeconfig: Path, page: str = "", port: int = 0) -> str:
    """Return the lines to copy: the kubeconfig, and the article's commands with real names.

    `page` is where the status page is, if it is anywhere; `port` is the server's own.
    """
    node = cluster.list("nodes")[0]["metadata"]["name"]
    pod: dict[str, Any] = next(
        (p for p in cluster.list("pods") if p["metadata"]["namespace"] != "kube-system"),
        cluster.list("pods")[0],
    )["metadata"]
    lines = [
        f"export KUBECONFIG={shlex.quote(str(kubeconfig))}",
        "",
        "kubectl get apiservices | grep metrics-server",
        "kubectl top nodes",
        "kubectl top pods -A --containers --sort-by=cpu",
        f"kubectl get --raw {BASE}/nodes",
        f"kubectl get --raw {BASE}/pods",
        f"kubectl get --raw {BASE}/nodes/{node}",
        f"kubectl get --raw {BASE}/namespace/{pod['namespace']}/pods/{pod['name']}",
    ]
    if port:
        lines += [
            f"kubectl logs -n {NAMESPACE} {SERVICE}-0",
            f"{_program()} statusz --connect=127.0.0.1:{port} --once",
        ]
    copied = "".join(f"  {line}".rstrip() + "\n" for line in lines)
    shown = f"The status page: {page}\n\n" if page else ""
    return f"\nIn another shell:\n\n{copied}\n{shown}Ctrl-C ends everything.\n"


def _cpu(usage: dict[str, str]) -> float:
    """Return millicores of a CPU quantity."""
    text = usage["cpu"]
    unit = text[-1] if text[-1] in _UNITS else ""
    return float(text.removesuffix(unit)) * _UNITS[unit]


def _memory(usage: dict[str, str]) -> float:
    """Return bytes of a memory quantity."""
    text = usage["memory"]
    unit = next((u for u in _SIZES if u and text.endswith(u)), "")
    return float(text.removesuffix(unit)) * _SIZES[unit]


def _millis(value: float) -> str:
    return f"{value:.0f}m"


def _mebis(value: float) -> str:
    return f"{value / 2**20:.0f}Mi"


def _print(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in [head, *rows]) + 2 for i in range(len(head))]
    for row in [head, *rows]:
        print("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
