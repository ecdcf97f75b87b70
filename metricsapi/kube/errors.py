"""What can go wrong between us and an API server.

KubeError
├── CredentialsError      there is no usable kubeconfig or service account
├── Unreachable           no answer: refused, timed out, broken off, TLS failed
│   └── Silent            nothing came for long on a connection that is open
└── ApiError              an answer that is not a success; carries status, reason, message
    ├── Unauthorized      401
    ├── Forbidden         403
    ├── NotFound          404
    ├── Conflict          409
    ├── Gone              410: this resource version is too old to go on from
    ├── TooManyRequests   429; `retry_after` in seconds
    └── ServerError       5xx
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class KubeError(Exception):
    """Anything between us and an API server."""


class CredentialsError(KubeError):
    """No usable kubeconfig or service account; the message names the file and the fix."""


class Unreachable(KubeError):
    """The API server gave no answer."""


class Silent(Unreachable):
    """A watch said nothing for longer than we wait."""


class ApiError(KubeError):
    """An answer other than success, as its `Status` body tells it."""

    status: ClassVar[int | None] = None

    def __init__(self, code: int, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"{code} {reason}: {message}" if reason else f"{code}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class Unauthorized(ApiError):
    status = 401


class Forbidden(ApiError):
    status = 403


class NotFound(ApiError):
    status = 404


class Conflict(ApiError):
    status = 409


class Gone(ApiError):
    status = 410


class TooManyRequests(ApiError):
    status = 429


class ServerError(ApiError):
    pass


_BY_STATUS: dict[int, type[ApiError]] = {
    kind.status: kind
    for kind in (Unauthorized, Forbidden, NotFound, Conflict, Gone, TooManyRequests)
    if kind.status is not None
}


class _Status(msgspec.Struct):
    message: str = ""
    reason: str = ""
    code: int = 0


def error_from_answer(code: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """Give the error for an HTTP status and its body, which need not be a `Status`."""
    try:
        status = msgspec.json.decode(body, type=_Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        status = _Status(message=body[:200].decode("utf-8", "replace").strip())
    kind = _BY_STATUS.get(code, ServerError if code >= 500 else ApiError)
    wait = float(retry_after) if retry_after and retry_after.isdigit() else 0.0
    return kind(code, status.reason, status.message, wait)
