"""Settings of how kubelets are reached and scraped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metricsapi.config.groups import KUBELET, SERVER

ADDRESS_TYPES = ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP")
HTTPS_PORT, HTTP_PORT = 10250, 10255  # of a kubelet: authenticated, and read-only without TLS


@dataclass(frozen=True, kw_only=True)
class KubeletSettings:
    """How kubelets are reached and scraped. Durations in seconds, sizes in bytes."""

    resolution: float = SERVER.duration(
        "metric-resolution",
        15.0,
        "The period at which each kubelet is read, 1s or more. Below 10s, the kubelet's own "
        "period, nodes gain nothing and pay for every read.",
        minimum=1.0,
    )
    insecure_tls: bool = KUBELET.boolean(
        "kubelet-insecure-tls",
        False,
        "Do not verify the serving certificates of kubelets. For testing purposes only.",
    )
    use_node_status_port: bool = KUBELET.boolean(
        "kubelet-use-node-status-port",
        False,
        "Use the port in the node status. Takes precedence over --kubelet-port.",
    )
    port: int = KUBELET.integer(
        "kubelet-port",
        HTTPS_PORT,
        "The port to use to connect to kubelets.",
        minimum=1,
        maximum=65535,
    )
    address_types: tuple[str, ...] = KUBELET.strings(
        "kubelet-preferred-address-types",
        ADDRESS_TYPES,
        "The order of node address types in which a kubelet's addresses are tried.",
        choices=ADDRESS_TYPES,
    )
    certificate_authority: Path | None = KUBELET.file(
        "kubelet-certificate-authority",
        "Path to the CA to use to validate the kubelets' serving certificates, read again when "
        "it changes. Empty means the cluster's CA.",
    )
    client_key: Path | None = KUBELET.file(
        "kubelet-client-key", "Path to a client key file for TLS."
    )
    client_certificate: Path | None = KUBELET.file(
        "kubelet-client-certificate", "Path to a client cert file for TLS."
    )
    timeout: float = KUBELET.duration(
        "kubelet-request-timeout",
        10.0,
        "The time for one scrape of one node: every address, the retry and the body. It may be "
        "longer than --metric-resolution.",
        minimum=0.001,
    )
    transport: str = KUBELET.string(
        "kubelet-transport",
        "direct",
        "How kubelets are reached: direct, or apiserver-proxy (nodes/NAME/proxy; needs that "
        "permission).",
        choices=("direct", "apiserver-proxy"),
    )
    endpoint: str = KUBELET.string(
        "kubelet-endpoint",
        "auto",
        "What is read: summary (/stats/summary), resource (/metrics/resource), or auto (the "
        "Summary, and the other where it is forbidden, missing, another node's, not to be decoded "
        "or without CPU counters).",
        choices=("auto", "summary", "resource"),
    )
    max_response_bytes: int = KUBELET.integer(
        "kubelet-max-response-bytes",
        8 * 2**20,
        "The largest response of a kubelet that is read; a larger one is a failure of that node.",
        minimum=4096,
    )
    max_pods: int = KUBELET.integer(
        "kubelet-max-pods",
        2000,
        "The number of pods that a node's response may list, and 1.5 times the node's own capacity "
        "if that is less; more are a failure of that node.",
        minimum=1,
    )
    concurrency: int = KUBELET.integer(
        "scrape-concurrency",
        16,
        "The number of kubelets that are scraped at once. One that has not responded after 10 ms "
        "makes room for the next, as waiting for it costs nothing, until 16 times this number are "
        "in flight; through the API server none does.",
        minimum=1,
    )
    failed_concurrency: int = KUBELET.integer(
        "scrape-failed-concurrency",
        16,
        "The number of nodes that failed last time and are tried at once, apart from the others.",
        minimum=1,
    )
    node_selector: str = KUBELET.string(
        "node-selector",
        "",
        "Selector (label query) of the nodes to read, in the full grammar (e.g. -l "
        "key1=value1,key2!=value2).",
        short="l",
    )
    plain_http: bool = KUBELET.boolean(
        "deprecated-kubelet-completely-insecure",
        False,
        "DEPRECATED: Do not use any encryption, authorization, or authentication when "
        "communicating with the kubelet.",
    )

    @property
    def default_port(self) -> int:
        """The port of a kubelet whose Node object is not asked for it.

        Without TLS the kubelet has another port, unless a flag names one.
        """
        plain = self.plain_http and self.port == HTTPS_PORT
        return HTTP_PORT if plain else self.port
