"""Kubernetes `Status`: the one place that turns what went wrong into an HTTP answer's body."""

from __future__ import annotations

from typing import Any

import msgspec


class StatusError(Exception):
    """A request that ends in a Kubernetes `Status` other than success.

    `code` is the HTTP status, `reason` a machine-readable CamelCase word of the API conventions,
    `message` what a person reads, `details` the `Status.details` object or None to leave it out.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """Give the `Status` object in the field order of the Go API server."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    def json(self) -> bytes:
        """Give the `Status` as a JSON line, as the Go API server writes it."""
        return msgspec.json.encode(self.body()) + b"\n"
