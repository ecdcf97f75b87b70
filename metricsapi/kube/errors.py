"""What can go wrong between us and an API server.

KubeError
├── CredentialsError      there is no usable kubeconfig or service account
├── Unreachable           no response: refused, timed out, broken off, TLS failed
│   └── IdleTimeout       nothing came for long on a connection that is open
├── InvalidResponse       a success that is not what was asked for: no JSON, a redirect
└── ApiError              an answer that is not a success; carries status, reason, message
    ├── Unauthorized      401
    ├── Forbidden         403
    ├── NotFound          404
    ├── Conflict          409
    ├── Gone              410: this resource version has expired
    ├── TooManyRequests   429; `retry_after` in seconds
    └── ServerError       5xx
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

LONGEST_RETRY_AFTER = 120.0  # seconds; a proxy that asks for a day is not obeyed
LONGEST_MESSAGE = 1000  # characters of what a server says, which is logged
# What msgspec raises for bytes that are not the JSON asked for: DecodeError for syntax and types,
# UnicodeDecodeError within strings, RecursionError for nesting that is too deep.
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class KubeError(Exception):
    """Anything that goes wrong between us and an API server."""


class CredentialsError(KubeError):
    """No usable kubeconfig or service account; the message names the file and the fix."""


class Unreachable(KubeError):
    """The API server sent no response, or broke it off."""


class IdleTimeout(Unreachable):
    """A watch sent nothing for longer than we wait."""


class InvalidResponse(KubeError):
    """A success whose body is not what was asked for, as a captive proxy sends one."""


class ApiError(KubeError):
    """A response other than success, with the fields of its `Status` body."""

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


def error_from_response(code: int, body: bytes, retry_after: float = 0.0) -> ApiError:
    """Return the error for an HTTP status and its body, which need not be a `Status`.

    `retry_after` is what that header asks for, in seconds; it is bounded here.
    """
    try:
        status = msgspec.json.decode(body, type=_Status)
    except UNDECODABLE:
        status = _Status(message=body[:200].decode("utf-8", "replace").strip())
    status.message = status.message[:LONGEST_MESSAGE]
    kind = _BY_STATUS.get(code, ServerError if code >= 500 else ApiError)
    return kind(code, status.reason, status.message, min(retry_after, LONGEST_RETRY_AFTER))
