"""What the collector is told: the flags that say how nodes are read, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


def every_node(_labels: Mapping[str, str]) -> bool:
    """Stand for no --node-selector."""
    return True


@dataclass(frozen=True, kw_only=True)
class CollectSettings:
    """How nodes are read. Durations in seconds, sizes in bytes."""

    resolution: float = 15.0
    timeout: float = 10.0  # one turn of one node: addresses, retry and body
    concurrency: int = 100  # requests in flight to nodes that answered last turn
    failed_concurrency: int = 16  # and to those that did not
    max_answer: int = 32 << 20  # the largest answer accepted
    address_types: tuple[str, ...] = (
        "InternalIP",
        "ExternalIP",
        "InternalDNS",
        "ExternalDNS",
        "Hostname",
    )
    ip_family: Literal[4, 6] | None = None  # the cluster's; addresses of it are tried first
    port: int | None = None  # None: 10250, or 10255 without TLS
    use_node_status_port: bool = False
    insecure_http: bool = False  # --deprecated-kubelet-completely-insecure
    insecure_tls: bool = False
    certificate_authority: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    endpoint: str = "auto"  # or summary, resource
    full_summary: bool = False  # with file systems, of which the kubelet then tells too
    transport: str = "direct"  # or apiserver-proxy

    @property
    def default_port(self) -> int:
        """The port of a kubelet when no other is known."""
        if self.port is not None:
            return self.port
        return 10255 if self.insecure_http else 10250
