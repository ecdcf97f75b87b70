"""metrics-server flags that are accepted without effect, so that its args carry over unchanged.

Taken from the --help of metrics-server 0.8. What they steer there does not exist here: the audit
log, HTTP/2, CORS, profiling, feature gates, the buffers of its logging library, requests that wait
(`--request-timeout`), and a listener without SO_REUSEADDR.
"""

from __future__ import annotations

from metricsapi.flags import BOOL, STRING, Kind

_SWITCHES = (
    "emulation-forward-compatible",
    "runtime-config-emulation-forward-compatible",
    "shutdown-send-retry-after",
    "disable-http2-serving",
    "permit-address-sharing",
    "audit-log-batch-throttle-enable",
    "audit-log-compress",
    "audit-log-truncate-enabled",
    "audit-webhook-batch-throttle-enable",
    "audit-webhook-truncate-enabled",
    "contention-profiling",
    "enable-priority-and-fairness",
    "profiling",
    "log-json-split-stream",
    "log-text-split-stream",
)
_VALUES = (
    "advertise-address",
    "cors-allowed-origins",
    "emulated-version",
    "request-timeout",
    "external-hostname",
    "feature-gates",
    "goaway-chance",
    "livez-grace-period",
    "max-mutating-requests-inflight",
    "min-request-timeout",
    "shutdown-watch-termination-grace-period",
    "storage-initialization-timeout",
    "strict-transport-security-directives",
    "http2-max-streams-per-connection",
    "audit-log-batch-buffer-size",
    "audit-log-batch-max-size",
    "audit-log-batch-max-wait",
    "audit-log-batch-throttle-burst",
    "audit-log-batch-throttle-qps",
    "audit-log-format",
    "audit-log-maxage",
    "audit-log-maxbackup",
    "audit-log-maxsize",
    "audit-log-mode",
    "audit-log-path",
    "audit-log-truncate-max-batch-size",
    "audit-log-truncate-max-event-size",
    "audit-log-version",
    "audit-policy-file",
    "audit-webhook-batch-buffer-size",
    "audit-webhook-batch-max-size",
    "audit-webhook-batch-max-wait",
    "audit-webhook-batch-throttle-burst",
    "audit-webhook-batch-throttle-qps",
    "audit-webhook-config-file",
    "audit-webhook-initial-backoff",
    "audit-webhook-mode",
    "audit-webhook-truncate-max-batch-size",
    "audit-webhook-truncate-max-event-size",
    "audit-webhook-version",
    "debug-socket-path",
    "log-flush-frequency",
    "log-json-info-buffer-size",
    "log-text-info-buffer-size",
    "vmodule",
)

IGNORED: dict[str, Kind] = {
    **dict.fromkeys(_SWITCHES, BOOL),
    **dict.fromkeys(_VALUES, STRING),
}
