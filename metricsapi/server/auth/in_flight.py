"""How many requests are served at once, with room kept for those that must always get in."""

from __future__ import annotations

from metricsapi.api.status import StatusError

LIMIT = 400  # k8s.io/apiserver's --max-requests-inflight
RESERVE = 50  # beyond the limit, for health checks and the aggregation layer's own requests

TOO_MANY = StatusError(
    429,
    "TooManyRequests",
    "Too many requests, please try again later.",
    {"retryAfterSeconds": 1},
    {"Retry-After": "1"},
)


class Gate:
    """Counts requests in flight. A limit of 0 lets everyone in."""

    def __init__(self, limit: int = LIMIT, reserve: int = RESERVE) -> None:
        self.inside = 0
        self.refused = 0
        self._limit = limit or float("inf")
        self._reserve = reserve

    def enter(self, *, reserved: bool) -> bool:
        """Let a request in, if there is room for it; then `leave` must follow."""
        if self.inside >= self._limit + (self._reserve if reserved else 0):
            self.refused += 1
            return False
        self.inside += 1
        return True

    def leave(self) -> None:
        self.inside -= 1
