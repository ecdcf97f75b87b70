"""metrics-server flags that are accepted without effect, so that its args carry over unchanged.

Taken from the --help of metrics-server 0.9, each with why there is nothing for it to steer here.
"""

from __future__ import annotations

from metricsapi.config.command_line import Ignored
from metricsapi.config.flags import BOOL, STRING

_SWITCHES = {
    "HTTP/1.1 is spoken, never HTTP/2": ("disable-http2-serving",),
    "there is no profiling": ("contention-profiling", "profiling"),
    "there are no feature gates and emulated versions": (
        "emulation-forward-compatible",
        "runtime-config-emulation-forward-compatible",
    ),
    "--max-requests-inflight alone bounds requests, with room kept for health checks": (
        "enable-priority-and-fairness",
    ),
    "while it leaves, requests are served until --shutdown-delay-duration is over": (
        "shutdown-send-retry-after",
    ),
    "log lines go to stderr, each as it happens": (
        "log-json-split-stream",
        "log-text-split-stream",
    ),
    "there is no audit log": (
        "audit-log-batch-throttle-enable",
        "audit-log-compress",
        "audit-log-truncate-enabled",
        "audit-webhook-batch-throttle-enable",
        "audit-webhook-truncate-enabled",
    ),
}
_VALUES = {
    "HTTP/1.1 is spoken, never HTTP/2": ("goaway-chance", "http2-max-streams-per-connection"),
    "there is no profiling": ("debug-socket-path",),
    "there are no feature gates and emulated versions": (
        "emulated-version",
        "feature-gates",
        "min-compatibility-version",
    ),
    "no page of another origin is let in": ("cors-allowed-origins",),
    "liveness never waits for the start to be over": ("livez-grace-period",),
    "nothing is written by requests": ("max-mutating-requests-inflight",),
    "metrics cannot be watched": (
        "min-request-timeout",
        "shutdown-watch-termination-grace-period",
    ),
    "nothing is stored": ("storage-initialization-timeout",),
    "log lines go to stderr, each as it happens": (
        "log-flush-frequency",
        "log-json-info-buffer-size",
        "log-text-info-buffer-size",
    ),
    "-v is for the whole log": ("vmodule",),
    "there is no audit log": (
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
    ),
}

IGNORED: dict[str, Ignored] = {
    name: Ignored(kind, why)
    for kind, groups in ((BOOL, _SWITCHES), (STRING, _VALUES))
    for why, names in groups.items()
    for name in names
}
