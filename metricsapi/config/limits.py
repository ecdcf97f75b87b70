"""Limits of one connection, and of all connections together."""

from __future__ import annotations

from dataclasses import dataclass

from metricsapi.config.groups import GENERIC, LIMITS


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """Bounds of requests and connections. Durations in seconds, sizes in bytes."""

    requests_in_flight: int = GENERIC.integer(
        "max-requests-inflight",
        400,
        "The number of requests that are served at once; more get 429 with "
        "Retry-After. 0 means no limit.",
    )
    request_timeout: float = GENERIC.duration(
        "request-timeout",
        60.0,
        "The most time that a request may take, until the client has its response; then it gets"
        " 504, or is cut off. A request's own timeout parameter counts if it is shorter.",
        minimum=0.001,
    )
    connections: int = LIMITS.integer(
        "max-connections",
        1024,
        "The number of open client connections; beyond it, those idle longest are closed.",
        minimum=1,
    )
    header_bytes: int = LIMITS.integer(
        "max-header-bytes",
        2**20,
        "The size of a request's target and headers together; as much as Go takes.",
        minimum=1024,
    )
    header_count: int = LIMITS.integer(
        "max-header-count",
        2**16,
        "The number of a request's headers; the front proxy sends one for each group of the user.",
        minimum=16,
    )
    target_bytes: int = LIMITS.integer(
        "max-target-bytes", 8192, "The length of a request's target.", minimum=256
    )
    body_bytes: int = LIMITS.integer("max-body-bytes", 1024 * 1024, "The size of a request's body.")
    header_timeout: float = LIMITS.duration(
        "header-timeout",
        10.0,
        "How long a client may take to send a request's headers, TLS handshake included.",
        minimum=0.1,
    )
    idle_timeout: float = LIMITS.duration(
        "idle-timeout",
        120.0,
        "How long an idle connection is kept; the aggregation layer keeps its own for 90s.",
        minimum=1.0,
    )

    # Without a flag: no deployment has needed others.
    body_timeout: float = 30.0  # from the end of a request's headers to the end of its body
    write_timeout: float = 30.0  # in which a peer must take a part of its response
    close_timeout: float = 0.5  # for a peer to notice that we have closed
