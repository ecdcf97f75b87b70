"""The in-flight limit: how many requests are served at once.

A reserve beyond the limit is kept for health checks and for the aggregation layer itself.
"""

from __future__ import annotations

from metricsapi.api.status import StatusError
from metricsapi.config.limits import LimitSettings

RESERVE = 50  # requests beyond the limit

TOO_MANY = StatusError(
    429,
    "TooManyRequests",
    "Too many requests, please try again later.",
    {"retryAfterSeconds": 1},
    {"Retry-After": "1"},
)


class InFlightLimit:
    """Counts the requests that are being served. A limit of 0 admits every request.

    `count` is the number of requests in flight, `rejected` that of all requests refused so far.
    """

    def __init__(
        self, limit: int = LimitSettings.requests_in_flight, reserve: int = RESERVE
    ) -> None:
        self.count = 0
        self.rejected = 0
        self._limit = limit or float("inf")
        self._reserve = reserve

    def acquire(self, *, reserved: bool) -> bool:
        """Return whether the limit admits the request; then the caller must `release` it."""
        if self.count >= self._limit + (self._reserve if reserved else 0):
            self.rejected += 1
            return False
        self.count += 1
        return True

    def release(self) -> None:
        """Count an admitted request as done."""
        self.count -= 1
