"""`Settings`: everything that can be set, by subject, frozen.

Names, meanings and defaults of flags are metrics-server's where it has the flag, except that
`--metric-resolution` defaults to 15s (its own manifests set that too). Durations are seconds,
lists are tuples, files are paths, an empty text or None means "not set".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from metricsapi.config.authentication import AuthenticationSettings, AuthorizationSettings
from metricsapi.config.groups import GENERIC, LOGGING, SERVER
from metricsapi.config.kubelet import KubeletSettings
from metricsapi.config.leader_election import LeaderElectionSettings
from metricsapi.config.limits import LimitSettings
from metricsapi.config.prefetch import PrefetchSettings
from metricsapi.config.serving import ServiceSettings, ServingSettings
from metricsapi.kube.addresses import host_port

RESOURCES = ("cpu", "memory", "swap", "ephemeral-storage")
MIN_MAX_AGE = 60.0  # seconds; a default --metric-max-age is never below


@dataclass(frozen=True, kw_only=True)
class StorageSettings:
    """What is kept, and for how long."""

    max_age: float = SERVER.duration(
        "metric-max-age",
        0.0,
        "How long usage is served after its last new reading. 0 means the larger of 3 times "
        "--metric-resolution and 1m0s.",
    )
    resources: tuple[str, ...] = SERVER.strings(
        "resources",
        ("cpu", "memory", "swap"),
        "The resources to serve: cpu, memory, swap (only where a node has it), "
        "ephemeral-storage (needs the kubelet's full Summary, which costs the node more).",
        choices=RESOURCES,
    )


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """What the API and its discovery serve."""

    resource_metrics: bool = SERVER.boolean(
        "enable-resource-metrics",
        False,
        "Serve the current usage of all nodes and containers on /metrics/resource, for Prometheus.",
    )
    external_hostname: str = GENERIC.string(
        "external-hostname",
        "",
        "The host (host or host:port) at which discovery (/apis) says that this server is "
        "reached. Empty means --advertise-address.",
    )
    advertise_address: str = GENERIC.string(
        "advertise-address",
        "",
        "The IP address for discovery when there is no --external-hostname (empty leaves the host "
        "out), and at which other replicas reach this one.",
    )


@dataclass(frozen=True, kw_only=True)
class LoggingSettings:
    """What is logged, and how."""

    format: str = LOGGING.string(
        "logging-format",
        "text",
        "The log format: text or json, one line per event.",
        choices=("text", "json"),
    )
    verbosity: int = LOGGING.integer(
        "v",
        0,
        "number for the log level verbosity: 2 adds every request, 4 every scrape",
        short="v",
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of one server; each part is passed whole to what it configures."""

    kubeconfig: Path | None = SERVER.kubeconfig(
        "kubeconfig",
        "The path to the kubeconfig used to connect to the Kubernetes API server and the "
        "kubelets (defaults to in-cluster config)",
    )
    kubelet: KubeletSettings = KubeletSettings()
    prefetch: PrefetchSettings = PrefetchSettings()
    storage: StorageSettings = StorageSettings()
    api: ApiSettings = ApiSettings()
    service: ServiceSettings = ServiceSettings()
    limits: LimitSettings = LimitSettings()
    serving: ServingSettings = ServingSettings()
    authentication: AuthenticationSettings = AuthenticationSettings()
    authorization: AuthorizationSettings = AuthorizationSettings()
    leader_election: LeaderElectionSettings = LeaderElectionSettings()
    logging: LoggingSettings = LoggingSettings()
    version: bool = SERVER.boolean("version", False, "Show version")

    @property
    def max_age(self) -> float:
        """Seconds that usage is served after its last new reading."""
        return self.storage.max_age or max(3 * self.kubelet.resolution, MIN_MAX_AGE)

    @property
    def discovery_address(self) -> str:
        """The address of this server for discovery: `host:port`, or `:port`."""
        host = self.api.external_hostname or self.api.advertise_address
        if re.fullmatch(r"(\[.*\]|[^:]*):[0-9]+", host):
            return host
        return host_port(host.removeprefix("[").removesuffix("]"), self.serving.port)

    @property
    def prefetches(self) -> bool:
        """Whether nodes are scraped before queries; through the API server they are not."""
        return self.prefetch.enabled and self.kubelet.transport == "direct"

    @property
    def min_scrape_interval(self) -> float:
        """Seconds between two scrapes of a node at least, no more than between periodic ones."""
        return min(self.prefetch.min_interval, self.kubelet.resolution)
