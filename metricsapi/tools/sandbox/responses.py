"""Responses of the stand-in API server: JSON documents, `Status` bodies, and plain text."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from starlette.responses import Response

JSON = "application/json"
METADATA = "PartialObjectMetadata"
METADATA_LIST = "PartialObjectMetadataList"
_SHAPE = re.compile(r"[^,]*;\s*as=(\w+)")  # of the first media range, the one that counts
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def status_body(
    code: int, message: str, reason: str = "", details: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a Kubernetes `Status` of failure."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason or _REASONS[code],
        **({"details": details} if details else {}),
        "code": code,
    }


def status(
    code: int,
    message: str,
    reason: str = "",
    *,
    details: dict[str, Any] | None = None,
) -> Response:
    """Return the response of a failure, with its `Status`."""
    return json_response(status_body(code, message, reason, details), code)


def json_response(content: Any, code: int = 200) -> Response:
    """Return the response with a JSON document."""
    return encoded(msgspec.json.encode(content), code)


def encoded(content: bytes, code: int = 200) -> Response:
    """Return the response with JSON that is encoded already."""
    return Response(content, code, media_type=JSON)


def requested_shape(accept: str) -> str:
    """Return the kind to which objects are to be transformed; empty when they are wanted as is."""
    match = _SHAPE.match(accept)
    return match[1] if match else ""


def wrong_shape(shape: str, actual: str) -> Response:
    """Return the refusal of a list requested as an object, or the reverse, as kube-apiserver."""
    return status(406, f"you requested {shape}, but the requested object {actual}")


def plain(code: int, text: str) -> Response:
    """Return the response of Go's `http.Error`."""
    return Response(
        text + "\n",
        code,
        {"X-Content-Type-Options": "nosniff"},
        "text/plain; charset=utf-8",
    )


def not_found(resource: str, name: str) -> Response:
    """Return kube-apiserver's 404 for an object of this name."""
    details = {"name": name, "kind": resource}
    return status(404, f'{resource} "{name}" not found', details=details)
