"""`Settings`: everything that can be set, one field per flag, frozen.

Names, meanings and defaults are metrics-server 0.8's where it has the flag, except that
`--metric-resolution` defaults to 15s (its own manifests set that too). Durations are seconds,
lists are tuples, an empty text means "not set".
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metricsapi.config import validation as settings_checks
from metricsapi.config.flags import (
    BOOL,
    DURATION,
    INT,
    STRING,
    STRINGS,
    Parsed,
    flag,
    flags_of,
    parse,
    usage,
)
from metricsapi.config.go_tls import CIPHER_SUITES, VERSIONS
from metricsapi.config.ignored_flags import IGNORED
from metricsapi.config.named_certificates import NAMED_CERTIFICATES, NamedCertificate

SERVER = "Metrics server"
GENERIC = "Generic"
KUBELET = "Kubelet client"
SERVING = "Apiserver secure serving"
AUTHN = "Apiserver authentication"
AUTHZ = "Apiserver authorization"
LIMITS = "Connection limits"
LOGGING = "Logging"

ADDRESS_TYPES = ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP")
# Usage is kept at least this long after the last new reading (issue: numbers that are there).
LEAST_MAX_AGE = 60.0


@dataclass(frozen=True)
class Settings:
    """All settings of one server. `problems()` names every fault in them at once."""

    # fmt: off
    kubeconfig: str = flag(STRING, "", SERVER, "The path to the kubeconfig used to connect to the Kubernetes API server and the kubelets (defaults to in-cluster config)")  # noqa: E501
    metric_resolution: float = flag(DURATION, 15.0, SERVER, "The period at which each kubelet is read, 1s or more. Below 10s, the kubelet's own period, nodes gain nothing and pay for every read.")  # noqa: E501
    metric_max_age: float = flag(DURATION, 0.0, SERVER, "How long usage is served after its last new reading. 0 means the larger of 3 times --metric-resolution and 1m0s.")  # noqa: E501
    resources: tuple[str, ...] = flag(STRINGS, ("cpu", "memory", "swap"), SERVER, "The resources to serve: cpu, memory, swap (only where a node has it), ephemeral-storage (needs the kubelet's full Summary, which costs the node more).", choices=("cpu", "memory", "swap", "ephemeral-storage"))  # noqa: E501
    enable_resource_metrics: bool = flag(BOOL, False, SERVER, "Serve the current usage of all nodes and containers on /metrics/resource, for Prometheus.")  # noqa: E501
    manage_ca_bundle: bool = flag(BOOL, False, SERVER, "Keep a CA in a Secret, sign the serving certificate with it and write it to the APIServices' caBundle.")  # noqa: E501
    service_name: str = flag(STRING, "metrics-server", SERVER, "The Service that the APIServices name: for the names in the serving certificate, and for the doctor.")  # noqa: E501
    service_namespace: str = flag(STRING, "", SERVER, "The namespace of that Service. Empty means the pod's own, or kube-system outside a cluster.")  # noqa: E501
    ca_secret_name: str = flag(STRING, "metrics-server-ca", SERVER, "The Secret, in the namespace of the Service, that holds the CA of --manage-ca-bundle.")  # noqa: E501
    version: bool = flag(BOOL, False, SERVER, "Show version")

    max_requests_inflight: int = flag(INT, 400, GENERIC, "The number of requests that are served at once; more are answered 429 with Retry-After. 0 means no limit.")  # noqa: E501
    shutdown_delay_duration: float = flag(DURATION, 0.0, GENERIC, "Time to delay the termination. During that time the server keeps serving requests normally; /healthz and /livez succeed, /readyz fails at once.")  # noqa: E501

    request_timeout: float = flag(DURATION, 60.0, GENERIC, "The most time that a request may take, until its answer has been taken too; then it is answered 504, or cut off. A request's own timeout parameter counts if it is shorter.")  # noqa: E501
    external_hostname: str = flag(STRING, "", GENERIC, "The host (host or host:port) at which discovery (/apis) says that this server is reached. Empty means --advertise-address.")  # noqa: E501
    advertise_address: str = flag(STRING, "", GENERIC, "The IP address for discovery when there is no --external-hostname. Empty leaves the host out.")  # noqa: E501
    strict_transport_security_directives: tuple[str, ...] = flag(STRINGS, (), GENERIC, "Directives for the Strict-Transport-Security header of every answer, such as max-age=31536000,includeSubDomains,preload. Without any there is no such header.")  # noqa: E501

    kubelet_insecure_tls: bool = flag(BOOL, False, KUBELET, "Do not verify the serving certificates of kubelets. For testing purposes only.")  # noqa: E501
    kubelet_use_node_status_port: bool = flag(BOOL, False, KUBELET, "Use the port in the node status. Takes precedence over --kubelet-port.")  # noqa: E501
    kubelet_port: int = flag(INT, 10250, KUBELET, "The port to use to connect to kubelets.")
    kubelet_preferred_address_types: tuple[str, ...] = flag(STRINGS, ADDRESS_TYPES, KUBELET, "The order of node address types in which a kubelet's addresses are tried.", choices=ADDRESS_TYPES)  # noqa: E501
    kubelet_certificate_authority: str = flag(STRING, "", KUBELET, "Path to the CA to use to validate the kubelets' serving certificates, read again when it changes. Empty means the cluster's CA.")  # noqa: E501
    kubelet_client_key: str = flag(STRING, "", KUBELET, "Path to a client key file for TLS.")
    kubelet_client_certificate: str = flag(STRING, "", KUBELET, "Path to a client cert file for TLS.")  # noqa: E501
    kubelet_request_timeout: float = flag(DURATION, 10.0, KUBELET, "The time for one turn of one node: every address, the retry and the body. It may be longer than --metric-resolution.")  # noqa: E501
    kubelet_transport: str = flag(STRING, "direct", KUBELET, "How kubelets are reached: direct, or apiserver-proxy (nodes/NAME/proxy; needs that permission).", choices=("direct", "apiserver-proxy"))  # noqa: E501
    kubelet_endpoint: str = flag(STRING, "auto", KUBELET, "What is read: summary (/stats/summary), resource (/metrics/resource), or auto (the Summary, and the other where it is forbidden or missing).", choices=("auto", "summary", "resource"))  # noqa: E501
    kubelet_max_response_bytes: int = flag(INT, 64 * 2**20, KUBELET, "The largest answer of a kubelet that is read; a larger one is a failure of that node.")  # noqa: E501
    scrape_concurrency: int = flag(INT, 16, KUBELET, "The number of kubelets that are asked at once. One that has not answered after 20 ms counts no longer, as waiting for it costs nothing.")  # noqa: E501
    scrape_failed_concurrency: int = flag(INT, 16, KUBELET, "The number of nodes that failed last time and are tried at once, apart from the others.")  # noqa: E501
    node_selector: str = flag(STRING, "", KUBELET, "Selector (label query) of the nodes to read, in the full grammar (e.g. -l key1=value1,key2!=value2).", short="l")  # noqa: E501
    deprecated_kubelet_completely_insecure: bool = flag(BOOL, False, KUBELET, "DEPRECATED: Do not use any encryption, authorization, or authentication when communicating with the kubelet.")  # noqa: E501

    bind_address: str = flag(STRING, "0.0.0.0", SERVING, "The IP address on which to listen for the --secure-port port. If blank or unspecified (0.0.0.0 or ::), all interfaces and IP address families are used.")  # noqa: E501
    secure_port: int = flag(INT, 443, SERVING, "The port on which to serve HTTPS with authentication and authorization.")  # noqa: E501
    cert_dir: str = flag(STRING, "apiserver.local.config/certificates", SERVING, "The directory of the self-made TLS certificate. Ignored if --tls-cert-file and --tls-private-key-file are given.")  # noqa: E501
    tls_cert_file: str = flag(STRING, "", SERVING, "File with the certificate for HTTPS and its chain, read again when it changes.")  # noqa: E501
    tls_private_key_file: str = flag(STRING, "", SERVING, "File with the private key matching --tls-cert-file.")  # noqa: E501
    tls_cipher_suites: tuple[str, ...] = flag(STRINGS, (), SERVING, "Cipher suites for the server, by their IANA names. If omitted, those with forward secrecy and authenticated encryption are used. Those of TLS 1.3 are always on; with no others, older versions are off.", choices=tuple(CIPHER_SUITES))  # noqa: E501
    tls_min_version: str = flag(STRING, "VersionTLS12", SERVING, "Minimum TLS version supported.", choices=tuple(VERSIONS))  # noqa: E501
    tls_sni_cert_key: tuple[NamedCertificate, ...] = flag(NAMED_CERTIFICATES, (), SERVING, "A certificate and its key (certfile,keyfile) for clients that ask for one of its names, or of the names after a colon (certfile,keyfile:name,*.name). Exact names win over those with *, given names over those in certificates; any other client gets the default certificate. Repeat the flag for more. Read again when they change.")  # noqa: E501
    permit_port_sharing: bool = flag(BOOL, False, SERVING, "Use SO_REUSEPORT when binding the port, so that more than one process can bind the same address and port.")  # noqa: E501
    permit_address_sharing: bool = flag(BOOL, True, SERVING, "Use SO_REUSEADDR when binding the port, so that a restart need not wait for old connections. On unless set to false; in metrics-server it is on whatever the flag says, as Go sets it on every listener.")  # noqa: E501

    authentication_kubeconfig: str = flag(STRING, "", AUTHN, "kubeconfig file pointing at the 'core' kubernetes server with enough rights to create tokenreviews.authentication.k8s.io.")  # noqa: E501
    authentication_skip_lookup: bool = flag(BOOL, False, AUTHN, "Do not look up missing authentication configuration in the cluster.")  # noqa: E501
    authentication_token_webhook_cache_ttl: float = flag(DURATION, 10.0, AUTHN, "How long answers of TokenReview are kept.")  # noqa: E501
    authentication_tolerate_lookup_failure: bool = flag(BOOL, False, AUTHN, "Start even when the authentication configuration cannot be looked up; until it can, client certificates and front proxies are not accepted.")  # noqa: E501
    client_ca_file: str = flag(STRING, "", AUTHN, "If set, a client certificate signed by one of the authorities in this file is authenticated as its CommonName.")  # noqa: E501
    requestheader_allowed_names: tuple[str, ...] = flag(STRINGS, (), AUTHN, "Common names of client certificates that may provide user names in headers. If empty, every certificate of --requestheader-client-ca-file may.")  # noqa: E501
    requestheader_client_ca_file: str = flag(STRING, "", AUTHN, "Root certificate bundle to verify client certificates with before trusting user names in headers.")  # noqa: E501
    requestheader_extra_headers_prefix: tuple[str, ...] = flag(STRINGS, ("x-remote-extra-",), AUTHN, "Prefixes of request headers with extra attributes of the user.")  # noqa: E501
    requestheader_group_headers: tuple[str, ...] = flag(STRINGS, ("x-remote-group",), AUTHN, "Request headers with groups.")  # noqa: E501
    requestheader_uid_headers: tuple[str, ...] = flag(STRINGS, (), AUTHN, "Request headers with UIDs. X-Remote-Uid is suggested.")  # noqa: E501
    requestheader_username_headers: tuple[str, ...] = flag(STRINGS, ("x-remote-user",), AUTHN, "Request headers with user names.")  # noqa: E501

    authorization_always_allow_paths: tuple[str, ...] = flag(STRINGS, ("/healthz", "/readyz", "/livez"), AUTHZ, "HTTP paths that are allowed without asking the 'core' kubernetes server; a trailing * matches any rest.")  # noqa: E501
    authorization_kubeconfig: str = flag(STRING, "", AUTHZ, "kubeconfig file pointing at the 'core' kubernetes server with enough rights to create subjectaccessreviews.authorization.k8s.io.")  # noqa: E501
    authorization_webhook_cache_authorized_ttl: float = flag(DURATION, 10.0, AUTHZ, "How long 'allowed' answers are kept.")  # noqa: E501
    authorization_webhook_cache_unauthorized_ttl: float = flag(DURATION, 10.0, AUTHZ, "How long 'denied' answers are kept.")  # noqa: E501

    max_connections: int = flag(INT, 1024, LIMITS, "The number of open client connections; beyond it, those idle longest are closed.")  # noqa: E501
    max_header_bytes: int = flag(INT, 64 * 1024, LIMITS, "The size of a request's target and headers together.")  # noqa: E501
    max_header_count: int = flag(INT, 1024, LIMITS, "The number of a request's headers; the front proxy sends one for each group of the user.")  # noqa: E501
    max_target_bytes: int = flag(INT, 8192, LIMITS, "The length of a request's target.")
    max_body_bytes: int = flag(INT, 1024 * 1024, LIMITS, "The size of a request's body.")
    header_timeout: float = flag(DURATION, 10.0, LIMITS, "How long a client may take to send a request's headers, TLS handshake included.")  # noqa: E501
    idle_timeout: float = flag(DURATION, 120.0, LIMITS, "How long an idle connection is kept; the aggregation layer keeps its own for 90s.")  # noqa: E501

    logging_format: str = flag(STRING, "text", LOGGING, "The log format: text or json, one line per event.", choices=("text", "json"))  # noqa: E501
    v: int = flag(INT, 0, LOGGING, "number for the log level verbosity: 2 adds every request, 4 every scrape", short="v")  # noqa: E501
    # fmt: on

    @property
    def max_age(self) -> float:
        """Seconds that usage is served after its last new reading."""
        return self.metric_max_age or max(3 * self.metric_resolution, LEAST_MAX_AGE)

    @property
    def namespace(self) -> str:
        """The namespace of our Service and Secret."""
        if self.service_namespace:
            return self.service_namespace
        own = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
        try:
            return own.read_text().strip() or "kube-system"
        except OSError:
            return "kube-system"

    def problems(self) -> list[str]:
        """Name every value that cannot work, alone or beside another; files are looked at."""
        return settings_checks.problems(self)

    def warnings(self, now: float) -> list[str]:
        """Name what works but is worth a line in the log; `now` is in epoch seconds."""
        return settings_checks.warnings(self, now)


def read_settings(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[Settings, Parsed]:
    """Read flags and environment. Every problem found is in `Parsed.problems`.

    The settings hold what could be read, so that faults of values are named together with
    faults of syntax; they are to be used only when there are no problems.
    """
    parsed = parse(argv, environ, flags_of(Settings), IGNORED)
    settings = Settings(**{name.replace("-", "_"): v for name, v in parsed.values.items()})
    parsed.problems.extend(settings.problems())
    parsed.notes.extend(settings.warnings(time.time()))
    return settings, parsed


def help_text(command: str) -> str:
    """Return what --help prints: every flag, grouped."""
    flags = flags_of(Settings)
    defaults = {name: getattr(Settings(), name.replace("-", "_")) for name in flags}
    head = f"Usage: {command} [flags]\n\nEach flag can also be set by an environment variable:\n"
    return (
        head
        + "--metric-resolution by METRICSAPI_METRIC_RESOLUTION, and so on; flags win.\n"
        + usage(flags.values(), defaults)
        + "\nOther flags of metrics-server are accepted without effect, and the log says so.\n"
    )


def flag_texts(settings: Settings) -> dict[str, str]:
    """Return every flag's value as its text, by name, as /flagz shows it."""
    return {
        name: one.kind.format(getattr(settings, name.replace("-", "_")))
        for name, one in flags_of(Settings).items()
    }
